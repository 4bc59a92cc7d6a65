export const GIB = 2 ** 30;

/** Rows and columns of every matrix. */
export const WIDTH = 4096;
/** Samples in a batch. */
export const ROWS = 8;

/** What a process that trains has found: seconds, a step's on average, and the most memory so far. */
export interface Cost {
  readonly createS: number;
  readonly peakCreateGiB: number;
  readonly stepS: number;
  readonly peakStepsGiB: number;
  readonly exportS: number;
  readonly peakExportGiB: number;
}
