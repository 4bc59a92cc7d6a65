import { readFileSync } from 'node:fs';

/** Bytes that Linux counts for this process: `VmRSS`, what is in memory now, or `VmHWM`, the most that ever was. */
export function processBytes(field: 'VmRSS' | 'VmHWM'): number {
  const [, kibibytes] =
    new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
  return 1024 * Number(kibibytes);
}

/** What a process that trains has found of itself. Bytes. */
export interface Footprint {
  /** In memory before there is a model: the program and its libraries. */
  readonly start: number;
  readonly peak: number;
  /** By 1,000 steps, over the second half of the steps, without garbage; NaN for fewer than 1,000. */
  readonly growth: number;
  /** A step, median. */
  readonly milliseconds: number;
}

/** The slope of a line through equidistant values, by least squares, for one of their distances. */
export function slopeOf(values: readonly number[]): number {
  const middle = (values.length - 1) / 2;
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const covariance = values.reduce((sum, value, i) => sum + (i - middle) * (value - mean), 0);
  const variance = values.reduce((sum, _, i) => sum + (i - middle) ** 2, 0);
  return covariance / variance;
}
