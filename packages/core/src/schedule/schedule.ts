import { AdakitError } from '../errors.js';

/**
 * How a hyperparameter changes over time, as data: a factor on its value that depends on the number of the step t,
 * counted from 1. Data, so that it is saved with the state and goes on where it stopped.
 */
export type Schedule =
  /** `factor` for `steps` steps, then 1 (torch.optim.lr_scheduler.ConstantLR). */
  | { readonly kind: 'constant'; readonly factor: number; readonly steps: number }
  /** factor^⌊(t − 1) / every⌋ (StepLR). */
  | { readonly kind: 'step'; readonly every: number; readonly factor: number }
  /** factor^(number of milestones m with m < t) (MultiStepLR): the first step after a milestone has the new value. */
  | { readonly kind: 'milestones'; readonly at: readonly number[]; readonly factor: number }
  /** factor^(t − 1) (ExponentialLR). */
  | { readonly kind: 'exponential'; readonly factor: number }
  /** From `from` at step 1 to `to` at step `steps` + 1 on a straight line, then `to` (LinearLR). */
  | { readonly kind: 'linear'; readonly from: number; readonly to: number; readonly steps: number }
  /** From 1 at step 1 to `floor` at step `steps` + 1 as (1 − progress)^power, then `floor` (PolynomialLR for floor 0). */
  | { readonly kind: 'polynomial'; readonly steps: number; readonly power: number; readonly floor: number }
  /** From 1 at step 1 to `floor` at step `steps` + 1 on half a cosine wave, then `floor` (Loshchilov & Hutter 2017, eq. 5). */
  | { readonly kind: 'cosine'; readonly steps: number; readonly floor: number }
  /** Half a cosine wave again and again, each `stretch` times as long as the one before (CosineAnnealingWarmRestarts). */
  | { readonly kind: 'cosineRestarts'; readonly steps: number; readonly stretch: number; readonly floor: number }
  /**
   * From 1/`rise` up to 1 and down to 1/(`rise`·`fall`) over `steps` steps, the way up taking the fraction `warm`
   * (Smith & Topin 2018; OneCycleLR). With `threePhases` the way down first mirrors the way up.
   */
  | {
      readonly kind: 'oneCycle';
      readonly steps: number;
      readonly warm: number;
      readonly rise: number;
      readonly fall: number;
      readonly shape: 'cosine' | 'linear';
      readonly threePhases: boolean;
    }
  /** t / `warmup` while that is below 1, then √(`warmup` / t) (Vaswani et al. 2017, §5.3). */
  | { readonly kind: 'inverseSqrt'; readonly warmup: number }
  /** Falls by `factor` whenever a reported metric has not improved for more than `patience` reports (ReduceLROnPlateau). */
  | {
      readonly kind: 'plateau';
      readonly factor: number;
      readonly patience: number;
      readonly threshold: number;
      readonly thresholdMode: 'relative' | 'absolute';
      readonly mode: 'min' | 'max';
      readonly cooldown: number;
      readonly floor: number;
      /** What is reported: the loss of every step by itself, or what the user reports. */
      readonly by: 'loss' | 'metric';
    }
  /** `schedule`, times `by`. */
  | { readonly kind: 'scaled'; readonly by: number; readonly schedule: Schedule }
  /** All of them multiplied (ChainedScheduler). */
  | { readonly kind: 'product'; readonly of: readonly Schedule[] }
  /** Each part for its number of steps, counting steps anew; the last one for good (SequentialLR). */
  | { readonly kind: 'sequence'; readonly parts: readonly { readonly schedule: Schedule; readonly steps: number }[] };

/** The plateau schedules of a hyperparameter remember what has been reported. Saved with the state. */
export interface PlateauState {
  /** The best report so far; null before the first. */
  readonly best: number | null;
  /** Reports since the best. */
  readonly bad: number;
  /** Reports left in which none counts. */
  readonly cooling: number;
  readonly factor: number;
}

type Field = 'count' | 'whole' | 'factor' | 'positive' | 'fraction' | 'boolean' | readonly string[];

/** The numbers and words of each kind; nested schedules are checked apart. */
const fields: Readonly<Record<Schedule['kind'], Readonly<Record<string, Field>>>> = {
  constant: { factor: 'factor', steps: 'count' },
  step: { every: 'count', factor: 'factor' },
  milestones: { factor: 'factor' },
  exponential: { factor: 'factor' },
  linear: { from: 'factor', to: 'factor', steps: 'count' },
  polynomial: { steps: 'count', power: 'positive', floor: 'factor' },
  cosine: { steps: 'count', floor: 'factor' },
  cosineRestarts: { steps: 'count', stretch: 'count', floor: 'factor' },
  oneCycle: {
    steps: 'count',
    warm: 'fraction',
    rise: 'positive',
    fall: 'positive',
    shape: ['cosine', 'linear'],
    threePhases: 'boolean',
  },
  inverseSqrt: { warmup: 'count' },
  plateau: {
    factor: 'fraction',
    patience: 'whole',
    threshold: 'factor',
    thresholdMode: ['relative', 'absolute'],
    mode: ['min', 'max'],
    cooldown: 'whole',
    floor: 'factor',
    by: ['loss', 'metric'],
  },
  scaled: { by: 'factor' },
  product: {},
  sequence: {},
};

const holds: Readonly<Record<Exclude<Field, readonly string[]>, readonly [text: string, (x: unknown) => boolean]>> = {
  count: ['a whole number >= 1', (x) => Number.isSafeInteger(x) && Number(x) >= 1],
  whole: ['a whole number >= 0', (x) => Number.isSafeInteger(x) && Number(x) >= 0],
  factor: ['a number >= 0', (x) => typeof x === 'number' && Number.isFinite(x) && x >= 0],
  positive: ['a number > 0', (x) => typeof x === 'number' && Number.isFinite(x) && x > 0],
  fraction: ['a number in [0, 1]', (x) => typeof x === 'number' && x >= 0 && x <= 1],
  boolean: ['true or false', (x) => typeof x === 'boolean'],
};

/** Checks a schedule made by hand or read from a file. @throws AdakitError naming what is wrong */
export function parseSchedule(hyperparameter: string, schedule: unknown): Schedule {
  const problems = scheduleProblems(schedule, '');
  if (problems.length === 0) return schedule as Schedule;
  throw new AdakitError('invalid-hyperparameter', `the schedule of ${hyperparameter} is wrong: ${problems.join('; ')}`);
}

function scheduleProblems(schedule: unknown, path: string): string[] {
  if (typeof schedule !== 'object' || schedule === null)
    return [`${path || 'it'} must be a schedule, got ${text(schedule)}`];
  const record = schedule as Readonly<Record<string, unknown>>;
  const kind = record.kind as Schedule['kind'];
  if (typeof kind !== 'string' || !Object.hasOwn(fields, kind)) {
    return [`${path}kind must be one of ${Object.keys(fields).join(', ')}, got ${text(kind)}`];
  }
  const problems: string[] = [];
  const known = new Set(['kind', ...Object.keys(fields[kind])]);
  for (const [name, field] of Object.entries(fields[kind])) {
    const [wanted, test] = typeof field === 'string' ? holds[field] : oneOf(field);
    if (!test(record[name])) problems.push(`${path}${name} must be ${wanted}, got ${text(record[name])}`);
  }
  const list = (name: string): readonly unknown[] => {
    known.add(name);
    const value = record[name];
    if (Array.isArray(value)) return value as readonly unknown[];
    problems.push(`${path}${name} must be a list, got ${text(value)}`);
    return [];
  };
  if (kind === 'milestones') {
    for (const at of list('at'))
      if (!holds.whole[1](at)) problems.push(`${path}at must hold whole numbers, got ${text(at)}`);
  } else if (kind === 'scaled') {
    known.add('schedule');
    problems.push(...scheduleProblems(record.schedule, `${path}schedule.`));
  } else if (kind === 'product') {
    list('of').forEach((part, i) => problems.push(...scheduleProblems(part, `${path}of.${i}.`)));
  } else if (kind === 'sequence') {
    const parts = list('parts');
    if (parts.length === 0) problems.push(`${path}parts must not be empty`);
    parts.forEach((part, i) => {
      const { schedule: inner, steps } = (part ?? {}) as Readonly<Record<string, unknown>>;
      problems.push(...scheduleProblems(inner, `${path}parts.${i}.schedule.`));
      if (!holds.count[1](steps))
        problems.push(`${path}parts.${i}.steps must be ${holds.count[0]}, got ${text(steps)}`);
    });
  }
  for (const name of Object.keys(record)) if (!known.has(name)) problems.push(`${path}${name} is unknown`);
  return problems;
}

function oneOf(words: readonly string[]): readonly [string, (x: unknown) => boolean] {
  return [words.map((word) => JSON.stringify(word)).join(' or '), (x) => words.includes(x as string)];
}

function text(value: unknown): string {
  return typeof value === 'string' ? JSON.stringify(value) : String(value);
}

/**
 * The factor at step `t`, counted from 1.
 *
 * @param plateau the factor that plateau schedules have come down to
 */
export function scheduleFactor(schedule: Schedule, t: number, plateau = 1): number {
  const done = t - 1;
  switch (schedule.kind) {
    case 'constant':
      return done < schedule.steps ? schedule.factor : 1;
    case 'step':
      return schedule.factor ** Math.floor(done / schedule.every);
    case 'milestones':
      return schedule.factor ** schedule.at.filter((milestone) => milestone < t).length;
    case 'exponential':
      return schedule.factor ** done;
    case 'linear':
      return schedule.from + (schedule.to - schedule.from) * Math.min(done / schedule.steps, 1);
    case 'polynomial':
      return schedule.floor + (1 - schedule.floor) * (1 - Math.min(done / schedule.steps, 1)) ** schedule.power;
    case 'cosine':
      return halfWave(1, schedule.floor, Math.min(done / schedule.steps, 1));
    case 'cosineRestarts': {
      let [start, length] = [0, schedule.steps];
      if (schedule.stretch === 1) start = Math.floor(done / length) * length;
      while (done >= start + length) {
        start += length;
        length *= schedule.stretch;
      }
      return halfWave(1, schedule.floor, (done - start) / length);
    }
    case 'oneCycle':
      return oneCycleFactor(schedule, done);
    case 'inverseSqrt':
      return t < schedule.warmup ? t / schedule.warmup : Math.sqrt(schedule.warmup / t);
    case 'plateau':
      return plateau;
    case 'scaled':
      return schedule.by * scheduleFactor(schedule.schedule, t, plateau);
    case 'product':
      return schedule.of.reduce((product, part) => product * scheduleFactor(part, t, plateau), 1);
    case 'sequence': {
      let start = 0;
      for (const part of schedule.parts.slice(0, -1)) {
        if (done < start + part.steps) return scheduleFactor(part.schedule, t - start, plateau);
        start += part.steps;
      }
      return scheduleFactor(schedule.parts[schedule.parts.length - 1].schedule, t - start, plateau);
    }
  }
}

/** From `from` to `to` on half a cosine wave. */
function halfWave(from: number, to: number, progress: number): number {
  return to + (from - to) * 0.5 * (1 + Math.cos(Math.PI * progress));
}

function oneCycleFactor(
  { steps, warm, rise, fall, shape, threePhases }: Extract<Schedule, { readonly kind: 'oneCycle' }>,
  done: number,
): number {
  const [low, lowest] = [1 / rise, 1 / (rise * fall)];
  const phases: readonly (readonly [end: number, from: number, to: number])[] = threePhases
    ? [
        [warm * steps - 1, low, 1],
        [2 * warm * steps - 2, 1, low],
        [steps - 1, low, lowest],
      ]
    : [
        [warm * steps - 1, low, 1],
        [steps - 1, 1, lowest],
      ];
  let start = 0;
  for (const [end, from, to] of phases) {
    if (done <= end) {
      const progress = end === start ? 1 : (done - start) / (end - start);
      return shape === 'cosine' ? halfWave(from, to, progress) : from + (to - from) * progress;
    }
    start = end;
  }
  return lowest;
}

/** The plateau schedule inside a schedule, if there is one; the first where there are several. */
export function plateauOf(schedule: Schedule): Extract<Schedule, { readonly kind: 'plateau' }> | undefined {
  switch (schedule.kind) {
    case 'plateau':
      return schedule;
    case 'scaled':
      return plateauOf(schedule.schedule);
    case 'product':
      return schedule.of.map(plateauOf).find((found) => found !== undefined);
    case 'sequence':
      return schedule.parts.map((part) => plateauOf(part.schedule)).find((found) => found !== undefined);
    default:
      return undefined;
  }
}

/** A plateau before any report. */
export const plateauStart: PlateauState = { best: null, bad: 0, cooling: 0, factor: 1 };

/** A plateau after the report of `metric`, as torch.optim.lr_scheduler.ReduceLROnPlateau.step. */
export function plateauReport(
  schedule: Extract<Schedule, { readonly kind: 'plateau' }>,
  { best, bad, cooling, factor }: PlateauState,
  metric: number,
): PlateauState {
  const { mode, threshold, thresholdMode } = schedule;
  const sign = mode === 'min' ? -1 : 1;
  const goal =
    best === null
      ? -sign * Infinity
      : thresholdMode === 'relative'
        ? best * (1 + sign * threshold)
        : best + sign * threshold;
  const better = mode === 'min' ? metric < goal : metric > goal;
  const improved = { best: better ? metric : best, bad: better ? 0 : bad + 1 };
  if (cooling > 0) return { ...improved, bad: 0, cooling: cooling - 1, factor };
  if (improved.bad <= schedule.patience) return { ...improved, cooling, factor };
  return {
    best: improved.best,
    bad: 0,
    cooling: schedule.cooldown,
    factor: Math.max(factor * schedule.factor, schedule.floor),
  };
}

/** `factor` for `steps` steps, then 1. */
export const constantFactor = (factor: number, steps: number): Schedule => ({ kind: 'constant', factor, steps });
/** Multiplies by `factor` every `every` steps. */
export const stepDecay = (every: number, factor = 0.1): Schedule => ({ kind: 'step', every, factor });
/** Multiplies by `factor` after each of the steps `at`: `milestones([150, 200])`. */
export const milestones = (at: readonly number[], factor = 0.1): Schedule => ({ kind: 'milestones', at, factor });
/** Multiplies by `factor` every step. */
export const exponential = (factor: number): Schedule => ({ kind: 'exponential', factor });
/** From factor `from` to factor `to` in `steps` steps. */
export const linear = (from: number, to: number, steps: number): Schedule => ({ kind: 'linear', from, to, steps });
/** From 1 to `floor` in `steps` steps as (1 − progress)^power. */
export const polynomial = (steps: number, power = 1, floor = 0): Schedule => ({
  kind: 'polynomial',
  steps,
  power,
  floor,
});
/** Half a cosine wave from 1 down to `floor` in `steps` steps. */
export const cosine = (steps: number, floor = 0): Schedule => ({ kind: 'cosine', steps, floor });
/** Half a cosine wave from 1 down to `floor`, starting anew after `steps` steps, then after `stretch` times as many, … */
export const cosineRestarts = (steps: number, stretch = 1, floor = 0): Schedule => ({
  kind: 'cosineRestarts',
  steps,
  stretch,
  floor,
});

/** One cycle up to the full value and down to almost nothing, over `steps` steps. */
export const oneCycle = (
  steps: number,
  options: {
    readonly warm?: number;
    readonly rise?: number;
    readonly fall?: number;
    readonly shape?: 'cosine' | 'linear';
    readonly threePhases?: boolean;
  } = {},
): Schedule => ({
  kind: 'oneCycle',
  steps,
  warm: 0.3,
  rise: 25,
  fall: 1e4,
  shape: 'cosine',
  threePhases: false,
  ...options,
});

/** A straight rise for `warmup` steps, then falling with the inverse square root of the step. */
export const inverseSqrt = (warmup: number): Schedule => ({ kind: 'inverseSqrt', warmup });

/** Falls whenever what is reported stops getting better. */
export const reduceOnPlateau = (
  options: Partial<Omit<Extract<Schedule, { readonly kind: 'plateau' }>, 'kind'>> = {},
): Schedule => ({
  kind: 'plateau',
  factor: 0.1,
  patience: 10,
  threshold: 1e-4,
  thresholdMode: 'relative',
  mode: 'min',
  cooldown: 0,
  floor: 0,
  by: 'metric',
  ...options,
});

/** `schedule`, times `by`. */
export const scaled = (by: number, schedule: Schedule): Schedule => ({ kind: 'scaled', by, schedule });
/** All of them multiplied. */
export const product = (...of: readonly Schedule[]): Schedule => ({ kind: 'product', of });
/** One after the other, each for its number of steps; the last one for good. */
export const sequence = (...parts: readonly { readonly schedule: Schedule; readonly steps: number }[]): Schedule => ({
  kind: 'sequence',
  parts,
});

/** A straight rise from 0 (step 1 takes the first fraction, not 0) to 1 in `steps` steps, then `then`. */
export const warmup = (steps: number, then: Schedule): Schedule =>
  sequence({ schedule: linear(1 / steps, 1 + 1 / steps, steps), steps }, { schedule: then, steps: 1 });

/**
 * A straight rise in `warmup` steps, the full value for `stable` steps, then a straight fall to `floor` in `decay` steps
 * (Hu et al. 2024, "warmup-stable-decay").
 */
export const warmupStableDecay = (
  steps: { readonly warmup: number; readonly stable: number; readonly decay: number },
  floor = 0,
): Schedule =>
  warmup(
    steps.warmup,
    sequence(
      { schedule: constantFactor(1, 1), steps: steps.stable },
      { schedule: linear(1, floor, steps.decay), steps: 1 },
    ),
  );
