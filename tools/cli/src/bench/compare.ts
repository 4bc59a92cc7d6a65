/** Something that can be measured again and again: gives the milliseconds that it took, by its own clock. */
export type Contender = () => number | Promise<number>;

/** The times of a contender, in ms. */
export interface Times {
  readonly median: number;
  readonly least: number;
  readonly most: number;
  /** Of every round, in order. */
  readonly all: readonly number[];
}

/** How {@link compare} goes through its contenders. */
export interface Turns {
  readonly rounds: number;
  /** Rounds ahead that do not count: they are for compilers. Default: 3. */
  readonly warmUps?: number;
  /**
   * Milliseconds to wait ahead of a turn, in which threads of the one before stop spinning for more work: they would take
   * the cores from the next. Default: 0, for contenders of one thread.
   */
  readonly rest?: number;
  /** Calls ahead of the one that counts, which fill caches and wake threads as a loop would. Default: 0. */
  readonly runUp?: number;
  /** Told ahead of each round, warm-ups included, which it is of how many. */
  readonly onRound?: (round: number, rounds: number) => void;
}

/**
 * Measures contenders in turn, each once a round, and begins every round with another, so that whatever else the machine
 * does meets all of them.
 */
export async function compare<Name extends string>(
  contenders: Readonly<Record<Name, Contender>>,
  { rounds, warmUps = 3, rest = 0, runUp = 0, onRound }: Turns,
): Promise<Readonly<Record<Name, Times>>> {
  const entries = Object.entries(contenders) as [Name, Contender][];
  const times = new Map<Name, number[]>(entries.map(([name]) => [name, []]));
  for (let round = 0; round < warmUps + rounds; round++) {
    onRound?.(round + 1, warmUps + rounds);
    for (let i = 0; i < entries.length; i++) {
      const [name, contender] = entries[(i + round) % entries.length];
      if (rest > 0) await new Promise((resolve) => setTimeout(resolve, rest));
      for (let call = 0; call < runUp; call++) await contender();
      const time = await contender();
      if (round >= warmUps) times.get(name)?.push(time);
    }
  }
  return Object.fromEntries([...times].map(([name, all]) => [name, timesOf(all)])) as Record<Name, Times>;
}

/** @param all of every round, in ms */
export function timesOf(all: readonly number[]): Times {
  return { median: median(all), least: Math.min(...all), most: Math.max(...all), all };
}

/** Times `action` by the wall clock. */
export function timed(action: () => unknown): Contender {
  return async () => {
    const start = performance.now();
    const result = action();
    // A step that is done at once is not made to wait for the queue of promises.
    if (result instanceof Promise) await result;
    return performance.now() - start;
  };
}

/** How many times as long `a` took as `b`: the median of the ratios of each round, which a machine that drifts does not move. */
export function ratioOf(a: Times, b: Times): number {
  return median(a.all.map((time, i) => time / b.all[i]));
}

/** How many ms more `a` took than `b`: the median of the differences of each round. */
export function differenceOf(a: Times, b: Times): number {
  return median(a.all.map((time, i) => time - b.all[i]));
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
