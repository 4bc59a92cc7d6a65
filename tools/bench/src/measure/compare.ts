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

/**
 * Measures contenders in turn, each once a round, and begins every round with another, so that whatever else the machine
 * does meets all of them.
 *
 * @param warmUps rounds ahead that do not count: they are for compilers and caches
 */
export async function compare<Name extends string>(
  contenders: Readonly<Record<Name, Contender>>,
  rounds: number,
  warmUps = 3,
): Promise<Readonly<Record<Name, Times>>> {
  const entries = Object.entries(contenders) as [Name, Contender][];
  const times = new Map<Name, number[]>(entries.map(([name]) => [name, []]));
  for (let round = 0; round < warmUps + rounds; round++) {
    for (let i = 0; i < entries.length; i++) {
      const [name, contender] = entries[(i + round) % entries.length];
      const time = await contender();
      if (round >= warmUps) times.get(name)?.push(time);
    }
  }
  const measured: Partial<Record<Name, Times>> = {};
  for (const [name, all] of times) {
    measured[name] = { median: median(all), least: Math.min(...all), most: Math.max(...all), all };
  }
  return measured as Record<Name, Times>;
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

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
