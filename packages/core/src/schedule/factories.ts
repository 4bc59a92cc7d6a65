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
import type { PlateauFields, Schedule } from './schedule.js';

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

/** Half a cosine wave from 1 down to `floor`, starting anew after `steps` steps, then after `stretch` times as many, … */
export const cosineRestarts = (steps: number, stretch = 1, floor = 0): Schedule =>
  scheduleOf(cosineRestartsKind, { steps, stretch, floor });

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
    warm: 0.3,
    rise: 25,
    fall: 1e4,
    shape: 'cosine',
    threePhases: false,
    ...options,
  });

/** A straight rise for `warmup` steps, then falling with the inverse square root of the step. */
export const inverseSqrt = (warmup: number): Schedule => scheduleOf(inverseSqrtKind, { warmup });

/** Falls whenever what is reported stops getting better. */
export const reduceOnPlateau = (options: Partial<PlateauFields> = {}): Schedule =>
  scheduleOf(plateauKind, {
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
export const scaled = (by: number, schedule: Schedule): Schedule => scheduleOf(scaledKind, { by, schedule });

/** All of them multiplied. */
export const product = (...of: readonly Schedule[]): Schedule => scheduleOf(productKind, { of });

/** One after the other, each for its number of steps; the last one for good. */
export const sequence = (...parts: readonly { readonly schedule: Schedule; readonly steps: number }[]): Schedule =>
  scheduleOf(sequenceKind, { parts });

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
