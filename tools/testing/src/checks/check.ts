/** Something that must hold, for any test framework or none. */
export interface Check {
  /** What must hold, after "it". */
  readonly name: string;
  /** Throws, or rejects, with what does not hold; with `DeviceUnavailable` where it cannot be tried. */
  readonly run: () => void | Promise<void>;
}

export const check = (name: string, run: Check['run']): Check => ({ name, run });
