import { AdakitError, keysProblem, shown } from '../errors.js';
import { cyclicKind } from './cycles.js';
import { boundedKind, inverseTimeKind, sqrtKind } from './decays.js';
import {
  constantKind,
  cosineKind,
  cosineRestartsKind,
  exponentialKind,
  inverseSqrtKind,
  linearKind,
  milestonesKind,
  oneCycleKind,
  plateauKind,
  polynomialKind,
  productKind,
  scaledKind,
  sequenceKind,
  stepKind,
} from './kinds.js';
import { scheduleOf } from './made-schedule.js';
import { piecewiseKind } from './points.js';
import { wrongSchedule, type PlateauFields, type Schedule } from './schedule.js';

/** `factor` for `steps` steps, then 1. */
export const constantFactor = (factor: number, steps: number): Schedule => scheduleOf(constantKind, { factor, steps });

/** Multiplies by `factor` every `every` steps. */
export const stepDecay = (every: number, factor = 0.1): Schedule => scheduleOf(stepKind, { every, factor });

/** Multiplies by `factor` after each of the steps `at`: `milestones([150, 200])`. */
export const milestones = (at: readonly number[], factor = 0.1): Schedule => scheduleOf(milestonesKind, { at, factor });

/** Multiplies by `factor` every step. */
export const exponential = (factor: number): Schedule => scheduleOf(exponentialKind, { factor });

/** From factor `from` to factor `to` in `steps` steps. */
export const linear = (from: number, to: number, steps: number): Schedule =>
  scheduleOf(linearKind, { from, to, steps });

/** From 1 to `floor` in `steps` steps as (1 − progress)^power. */
export const polynomial = (steps: number, power = 1, floor = 0): Schedule =>
  scheduleOf(polynomialKind, { steps, power, floor });

/** Half a cosine wave from 1 down to `floor` in `steps` steps. */
export const cosine = (steps: number, floor = 0): Schedule => scheduleOf(cosineKind, { steps, floor });

/**
 * Half a cosine wave from 1 down to `floor`, starting anew after `steps` steps, then after `stretch` times as many, …
 *
 * @param shrink how high each wave is above `floor`, in units of the one before
 */
export const cosineRestarts = (steps: number, stretch = 1, floor = 0, shrink = 1): Schedule =>
  scheduleOf(cosineRestartsKind, { steps, stretch, floor, ...(shrink !== 1 && { shrink }) });

/**
 * From `floor` up to 1 in `up` steps, down again in `down` (`up`), and so on without end. The height above `floor` is
 * multiplied by `perCycle` (1) from cycle to cycle, and by `perStep` (1) from step to step.
 */
export const cyclic = (
  up: number,
  options: {
    readonly down?: number;
    readonly floor?: number;
    readonly perCycle?: number;
    readonly perStep?: number;
  } = {},
): Schedule =>
  scheduleOf(cyclicKind, {
    up,
    ...completed('cyclic()', { down: up, floor: 0, perCycle: 1, perStep: 1 }, options),
  });

/**
 * What a table says: `piecewise([[0, 1], [100, 0.5]])` is 1 for 100 steps, then 0.5. With `'linear'` or `'cosine'` it goes from
 * each factor to the next instead of waiting for it. A function becomes one by being called for every step.
 *
 * @param points pairs of how many steps have been taken and the factor from then on, steps rising
 */
export const piecewise = (
  points: readonly (readonly [step: number, factor: number])[],
  between: 'hold' | 'linear' | 'cosine' = 'hold',
): Schedule => scheduleOf(piecewiseKind, { points, between });

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
): Schedule =>
  scheduleOf(oneCycleKind, {
    steps,
    ...completed('oneCycle()', { warm: 0.3, rise: 25, fall: 1e4, shape: 'cosine', threePhases: false }, options),
  });

/**
 * A straight rise for `warmup` steps, then falling with the inverse square root of the step.
 *
 * @param timescale steps after which it has fallen to √½; default: `warmup`
 */
export const inverseSqrt = (warmup: number, timescale?: number): Schedule =>
  scheduleOf(inverseSqrtKind, { warmup, ...(timescale !== undefined && { timescale }) });

/**
 * Divided by 1 + `rate` · steps taken.
 *
 * @param options `every` (1): counts so many steps as one, by parts or, with `stairs`, when they are complete; `power` (1) of
 * the divisor
 */
export const inverseTime = (
  rate: number,
  options: { readonly every?: number; readonly power?: number; readonly stairs?: boolean } = {},
): Schedule =>
  scheduleOf(inverseTimeKind, {
    rate,
    ...completed('inverseTime()', { every: 1, power: 1, stairs: false }, options),
  });

/** From 1 to `floor` in `steps` steps as 1 − √progress: at first steep, then flat. */
export const sqrtDecay = (steps: number, floor = 0): Schedule => scheduleOf(sqrtKind, { steps, floor });

/** Falls whenever what is reported stops getting better. */
export const reduceOnPlateau = (options: Partial<PlateauFields> = {}): Schedule =>
  scheduleOf(plateauKind, completed('reduceOnPlateau()', plateauDefaults, options, ['eps', 'average']));

const plateauDefaults = {
  factor: 0.1,
  patience: 10,
  threshold: 1e-4,
  thresholdMode: 'relative',
  mode: 'min',
  cooldown: 0,
  floor: 0,
  by: 'metric',
};

/** `schedule`, times `by`. */
export const scaled = (by: number, schedule: Schedule): Schedule => scheduleOf(scaledKind, { by, schedule });

/** `schedule`, but not below `least` (0) or above `most`. */
export const bounded = (schedule: Schedule, options: { readonly least?: number; readonly most?: number }): Schedule =>
  scheduleOf(boundedKind, { ...completed('bounded()', { least: 0 }, options, ['most']), schedule });

/** All of them multiplied. */
export const product = (...of: readonly Schedule[]): Schedule => scheduleOf(productKind, { of });

/** One after the other, each for its number of steps; the last one for good. */
export const sequence = (...parts: readonly { readonly schedule: Schedule; readonly steps: number }[]): Schedule => {
  for (const part of parts) requireKeys('sequence()', 'field', part, ['schedule', 'steps']);
  return scheduleOf(sequenceKind, { parts });
};

/** A straight rise from 0 (step 1 takes the first fraction, not 0) to 1 in `steps` steps, then `then`. */
export const warmup = (steps: number, then: Schedule): Schedule =>
  sequence({ schedule: linear(1 / steps, 1 + 1 / steps, steps), steps }, { schedule: then, steps: 1 });

/**
 * A straight rise in `warmup` steps, the full value for `stable` steps, then a fall to `floor` in `decay` steps
 * (Hu et al. 2024, "warmup-stable-decay").
 *
 * @param fall a straight line, half a cosine wave, or 1 − √progress (Hägele et al. 2024)
 */
export const warmupStableDecay = (
  steps: { readonly warmup: number; readonly stable: number; readonly decay: number },
  floor = 0,
  fall: 'linear' | 'cosine' | 'sqrt' = 'linear',
): Schedule => {
  requireKeys('warmupStableDecay()', 'step', steps, ['warmup', 'stable', 'decay']);
  if (!Object.hasOwn(falls, fall)) {
    throw new AdakitError(
      'invalid-hyperparameter',
      `warmupStableDecay: it falls by ${Object.keys(falls).join(', ')}, got ${shown(fall)}`,
    );
  }
  const decay = falls[fall](steps.decay, floor);
  return warmup(
    steps.warmup,
    sequence({ schedule: constantFactor(1, 1), steps: steps.stable }, { schedule: decay, steps: 1 }),
  );
};

const falls = { linear: (steps: number, floor: number) => linear(1, floor, steps), cosine, sqrt: sqrtDecay };
/** @param others options without a default */
function completed(schedule: string, defaults: object, options: object, others: readonly string[] = []): object {
  requireKeys(schedule, 'option', options, [...Object.keys(defaults), ...others]);
  return { ...defaults, ...options };
}

/** @throws AdakitError `invalid-hyperparameter` for what is no object, and for keys that there are not */
function requireKeys(schedule: string, kind: string, given: unknown, known: readonly string[]): void {
  const problem = keysProblem(kind, given, known);
  if (problem !== undefined) throw wrongSchedule(schedule, [problem]);
}
