import { readFileSync } from 'node:fs';
import { compositionFile } from '@adakit/fixtures';
import { describe, expect, it } from 'vitest';
import {
  constantFactor,
  cosine,
  cosineRestarts,
  cyclic,
  exponential,
  inverseSqrt,
  linear,
  milestones,
  oneCycle,
  piecewise,
  polynomial,
  product,
  reduceOnPlateau,
  scaled,
  sequence,
  sqrtDecay,
  stepDecay,
} from './factories.js';
import { scheduleFactor, type PlateauState, type Schedule } from './schedule.js';

interface Recorded {
  readonly name: string;
  readonly lr: readonly number[];
  readonly momentum?: readonly number[];
  readonly beta1?: readonly number[];
  readonly metrics?: readonly number[];
}
const { baseLr, schedules: recorded } = JSON.parse(readFileSync(compositionFile('schedules'), 'utf8')) as {
  readonly baseLr: number;
  readonly schedules: readonly Recorded[];
};
const named = (name: string): Recorded => {
  const found = recorded.find((schedule) => schedule.name === name);
  if (found === undefined) throw new Error(`no schedule ${name}`);
  return found;
};

/** One after the other, the last for good. */
const then = (...parts: readonly (readonly [schedule: Schedule, steps: number])[]): Schedule =>
  sequence(...parts.map(([schedule, steps]) => ({ schedule, steps })));
const rest = linear(0, 0, 1);

/** Ours for each recorded one; the recorded learning rates of `oneCycle` have a peak of five times the base. */
const ours: Readonly<Record<string, Schedule>> = {
  step: stepDecay(10, 0.5),
  'step-default-gamma': stepDecay(25),
  'multi-step': milestones([5, 20, 45], 0.3),
  'multi-step-twice': milestones([10, 10, 30], 0.5),
  exponential: exponential(0.95),
  linear: linear(0.25, 1, 8),
  'linear-down': linear(1, 0.05, 40),
  constant: constantFactor(0.3, 12),
  cosine: cosine(60),
  // PyTorch's cosine goes up again when it has ended, and so on without end.
  'cosine-min': piecewise(
    [0, 1, 2, 3].map((i) => [25 * i, i % 2 === 0 ? 1 : 0.1] as const),
    'cosine',
  ),
  'cyclic-triangular': cyclic(8, { down: 12, floor: 0.1 }),
  'cyclic-triangular2': cyclic(7, { floor: 0.1, perCycle: 0.5 }),
  'cyclic-exp-range': cyclic(10, { floor: 0.1, perStep: 0.97 }),
  'cosine-restarts': cosineRestarts(10),
  'cosine-restarts-growing': cosineRestarts(7, 2, 0.05),
  polynomial: polynomial(50),
  'polynomial-square': polynomial(40, 2),
  'polynomial-root': polynomial(60, 0.5),
  'one-cycle': scaled(5, oneCycle(60)),
  'one-cycle-linear': scaled(5, oneCycle(60, { warm: 0.25, shape: 'linear' })),
  'one-cycle-three-phase': scaled(5, oneCycle(60, { threePhases: true })),
  'one-cycle-three-phase-linear': scaled(
    5,
    oneCycle(60, { warm: 0.4, rise: 10, fall: 100, shape: 'linear', threePhases: true }),
  ),
  'one-cycle-adam': scaled(5, oneCycle(60)),
  'one-cycle-fixed-momentum': scaled(5, oneCycle(60)),
  'sequential-warmup-cosine': then([linear(0.1, 1, 10), 10], [cosine(50), 1]),
  'sequential-three': then([constantFactor(0.1, 5), 5], [exponential(0.9), 25], [stepDecay(4, 0.5), 1]),
  chained: product(constantFactor(0.1, 20), exponential(0.95)),
  'chained-three': product(linear(0.5, 1, 6), stepDecay(15, 0.5), polynomial(60)),
  swa: cosine(10, 0.2),
  // Counted from 0 there, so that the first step has the rate 0.
  'inverse-square-root': then([rest, 1], [inverseSqrt(10), 1]),
  'inverse-square-root-timescale': then([rest, 1], [inverseSqrt(6, 100), 1]),
  'inverse-square-root-no-warmup': inverseSqrt(1, 20),
  'linear-warmup-decay': then([linear(0, 1, 8), 8], [linear(1, 0, 42), 1]),
  'cosine-warmup': then([linear(0, 1, 8), 8], [cosine(52), 1]),
  'cosine-hard-restarts': then([linear(0, 1, 6), 6], [cosineRestarts(16), 48], [rest, 1]),
  'warmup-stable-decay': then([linear(0, 1, 8), 8], [constantFactor(1, 1), 30], [linear(1, 0, 20), 1]),
  'warmup-stable-decay-cosine': then([linear(0.1, 1, 5), 5], [constantFactor(1, 1), 20], [cosine(30, 0.1), 1]),
  'warmup-stable-decay-sqrt': then([linear(0.05, 1, 5), 5], [constantFactor(1, 1), 25], [sqrtDecay(30, 0.05), 1]),
  noam: scaled((64 * 12) ** -0.5, inverseSqrt(12)),
};

/** Schedules by what is reported. */
const plateaus: Readonly<Record<string, Schedule>> = {
  plateau: reduceOnPlateau({ factor: 0.5, patience: 3 }),
  'plateau-absolute': reduceOnPlateau({ factor: 0.5, patience: 3, threshold: 0.0123, thresholdMode: 'absolute' }),
  'plateau-cooldown': reduceOnPlateau({ factor: 0.1, patience: 2, cooldown: 4, floor: 0.01 }),
  'plateau-max': reduceOnPlateau({ factor: 0.5, patience: 2, threshold: 0.05, mode: 'max' }),
  'plateau-max-absolute': reduceOnPlateau({
    factor: 0.5,
    patience: 5,
    threshold: 0.0123,
    thresholdMode: 'absolute',
    mode: 'max',
    cooldown: 2,
  }),
  'plateau-eps': reduceOnPlateau({ factor: 0.5, patience: 0, eps: 0.01 / baseLr }),
};

/** Of what goes the other way: with the base where it is lowest. */
const momenta: Readonly<Record<string, readonly [base: number, schedule: Schedule]>> = {
  'cyclic-triangular': [0.8, cyclic(8, { down: 12, floor: 0.9 / 0.8 })],
  'one-cycle': [0.85, oneCycle(60, { rise: 0.85 / 0.95, fall: 1 })],
  'one-cycle-linear': [0.85, oneCycle(60, { warm: 0.25, shape: 'linear', rise: 0.85 / 0.95, fall: 1 })],
  'one-cycle-three-phase': [0.85, oneCycle(60, { threePhases: true, rise: 0.85 / 0.95, fall: 1 })],
  'one-cycle-three-phase-linear': [
    0.85,
    oneCycle(60, { warm: 0.4, shape: 'linear', threePhases: true, rise: 0.85 / 0.95, fall: 1 }),
  ],
  'one-cycle-adam': [0.8, oneCycle(60, { rise: 0.8 / 0.9, fall: 1 })],
};

/** PyTorch computes most rates from the rate before, sixty times. */
function expectClose(actual: number, expected: number, t: number): void {
  expect(Math.abs(actual - expected), `step ${t}: ${actual}, not ${expected}`).toBeLessThanOrEqual(1e-14);
}

describe('learning rates that PyTorch recorded', () => {
  it('are compared all', () => {
    const names = [...Object.keys(ours), ...Object.keys(plateaus)];
    expect(names.sort()).toEqual(recorded.map(({ name }) => name).sort());
    const changing = recorded.filter(({ momentum, beta1 }) => momentum ?? beta1).map(({ name }) => name);
    expect(Object.keys(momenta).sort()).toEqual(changing.sort());
  });

  it.each(Object.entries(ours))('of %s', (name, schedule) => {
    named(name).lr.forEach((lr, t) => {
      expectClose(baseLr * scheduleFactor(schedule, t + 1), lr, t + 1);
    });
  });

  it.each(Object.entries(momenta))('and momentum of %s', (name, [base, schedule]) => {
    const { momentum, beta1 = momentum } = named(name);
    beta1?.forEach((value, t) => {
      expectClose(base * scheduleFactor(schedule, t + 1), value, t + 1);
    });
  });

  it.each(Object.entries(plateaus))('of %s, by what is reported', (name, schedule) => {
    const { lr, metrics = [] } = named(name);
    const kind = schedule.plateau();
    if (kind === undefined) throw new Error('a plateau is expected');
    let state: PlateauState | undefined;
    lr.forEach((expected, t) => {
      expectClose(baseLr * scheduleFactor(schedule, t + 1, state?.factor), expected, t + 1);
      state = kind.reported(kind.by, state, metrics[t]);
    });
    expect(new Set(lr).size).toBeGreaterThan(2);
  });
});
