import type { EpochEvent } from '@adakit/fit';

/** A number over several runs. */
export interface Spread {
  readonly mean: number;
  /** Standard deviation of a sample (n − 1); undefined for a single run. */
  readonly deviation?: number;
  /** Runs that have it. */
  readonly runs: number;
}

/** An epoch over several runs. */
export interface EpochSpread {
  readonly epoch: number;
  /** Of training. */
  readonly loss: Spread;
  /** Metrics of the validation that are numbers. */
  readonly validation: Readonly<Record<string, Spread>>;
}

/** Mean and standard deviation. */
export function spread(values: readonly number[]): Spread {
  const runs = values.length;
  const mean = values.reduce((sum, value) => sum + value, 0) / runs;
  if (runs < 2) return { mean, runs };
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, deviation: Math.sqrt(squares / (runs - 1)), runs };
}

/** Epoch by epoch, over the runs that came as far. */
export function epochSpreads(histories: readonly (readonly EpochEvent[])[]): EpochSpread[] {
  const last = Math.max(0, ...histories.map(({ length }) => length));
  return Array.from({ length: last }, (_, index) => {
    const events = histories.flatMap((history) => history.at(index) ?? []);
    const names = [...new Set(events.flatMap(({ validation = {} }) => Object.keys(validation)))];
    const validation = names.flatMap((name) => {
      const values = events.flatMap((event) => numeric(event, name) ?? []);
      return values.length === 0 ? [] : [[name, spread(values)] as const];
    });
    return {
      epoch: index + 1,
      loss: spread(events.map(({ loss }) => loss)),
      validation: Object.fromEntries(validation),
    };
  });
}

/** A metric of an epoch, where it is a number. */
function numeric({ validation }: EpochEvent, name: string): number | undefined {
  const value = validation !== undefined && Object.hasOwn(validation, name) ? validation[name] : undefined;
  return typeof value === 'number' ? value : undefined;
}
