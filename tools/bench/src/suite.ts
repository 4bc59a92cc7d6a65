/** One measured thing in one case of a suite. */
export interface Row {
  /** The network, the number of parameters: what all rows of a case have in common. */
  readonly case: string;
  /** What was measured. */
  readonly name: string;
  /** The median, in ms. */
  readonly ms: number;
  /** More columns, in the order to print them. */
  readonly more?: Readonly<Record<string, number | string>>;
  /** How many times as long it took as each of its peers, in the same rounds. */
  readonly ratios?: Readonly<Record<string, number>>;
}

export interface SuiteOptions {
  /** How many rounds to measure; each suite knows what that means for it. Default of each suite: its own. */
  readonly rounds?: number;
  /** Cases whose names contain this. Default: all. */
  readonly only: string;
}

/** A group of measurements. */
export interface Suite {
  readonly title: string;
  /** How it is measured, in a few sentences for the page. */
  readonly method: string;
  /** Measures; gives rows as they come. */
  measure(options: SuiteOptions): AsyncIterable<Row>;
}
