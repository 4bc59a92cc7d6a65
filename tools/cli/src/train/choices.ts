import {
  constantFactor,
  cosine,
  cosineRestarts,
  cyclic,
  exponential,
  inverseSqrt,
  inverseTime,
  linear,
  oneCycle,
  polynomial,
  reduceOnPlateau,
  sqrtDecay,
  stepDecay,
  warmup,
  warmupStableDecay,
  type Schedule,
} from '@adakit/core';
import { accuracy, confusionMatrix, f1, mae, perplexity, r2, topK, type Metric } from '@adakit/fit';
import {
  bceWithLogits,
  cosineDistance,
  crossEntropy,
  huber,
  klDivergence,
  l1,
  mse,
  nll,
  outputLoss,
  smoothL1,
  type Loss,
} from '@adakit/onnx';
import type { lossNames, metricNames, scheduleNames } from '../known-names.js';
import { UsageError } from '../usage-error.js';
import { known, numbers, parseWord, type Word } from './words.js';

interface LossChoice {
  readonly make: (settings: Word['settings']) => Loss;
  /** Settings that it takes beside `output`. */
  readonly settings: readonly string[];
  /** Whether its targets are numbers of classes. */
  readonly classifies: boolean;
}

const loss = (make: (settings: object) => Loss, classifies = false, ...settings: readonly string[]): LossChoice => ({
  make,
  settings: ['output', 'target', ...settings],
  classifies,
});

/** Losses by name. */
export const losses: Readonly<Record<(typeof lossNames)[number], LossChoice>> = {
  'cross-entropy': loss(crossEntropy, true, 'classAxis', 'ignoreIndex', 'labelSmoothing'),
  nll: loss(nll, true, 'classAxis', 'ignoreIndex'),
  bce: loss(bceWithLogits),
  mse: loss(mse),
  l1: loss(l1),
  huber: loss(huber, false, 'delta'),
  'smooth-l1': loss(smoothL1, false, 'beta'),
  kl: loss(klDivergence),
  cosine: loss(cosineDistance, false, 'axis', 'eps'),
  output: { make: (settings) => outputLoss(settings), settings: ['output'], classifies: false },
};

/** @throws UsageError */
export function lossOf(text: string): {
  readonly loss: Loss;
  readonly classifies: boolean;
  readonly settings: Word['settings'];
} {
  const word = parseWord('--loss', text);
  const { make, settings, classifies } = known('--loss', word.name, losses);
  const table = Object.fromEntries(settings.map((name) => [name, true]));
  for (const [setting, value] of Object.entries(word.settings)) {
    known(`--loss ${word.name}`, setting, table);
    if (!['output', 'target'].includes(setting) && typeof value !== 'number')
      throw new UsageError(`--loss ${word.name}: ${setting} must be a number, got '${String(value)}'`);
  }
  return { loss: make(word.settings), classifies, settings: word.settings };
}

/** How the learning rate changes, by name, over so many steps in all. */
export const schedules: Readonly<
  Record<(typeof scheduleNames)[number], (word: Word, steps: number | undefined) => Schedule>
> = {
  cosine: (word, steps) => {
    const { steps: length, floor } = numbers('--schedule', word, { steps, floor: 0 });
    return cosine(length, floor);
  },
  'cosine-restarts': (word, steps) => {
    const defaults = { steps, stretch: 1, floor: 0, shrink: 1 };
    const { steps: length, stretch, floor, shrink } = numbers('--schedule', word, defaults);
    return cosineRestarts(length, stretch, floor, shrink);
  },
  cyclic: (word) => {
    const defaults = { up: undefined, down: Number(word.settings.up), floor: 0, perCycle: 1, perStep: 1 };
    const { up, ...rest } = numbers('--schedule', word, defaults);
    return cyclic(up, rest);
  },
  linear: (word, steps) => {
    const { from, to, steps: length } = numbers('--schedule', word, { from: 1, to: 0, steps });
    return linear(from, to, length);
  },
  polynomial: (word, steps) => {
    const { steps: length, power, floor } = numbers('--schedule', word, { steps, power: 2, floor: 0 });
    return polynomial(length, power, floor);
  },
  exponential: (word) => exponential(numbers('--schedule', word, { factor: undefined }).factor),
  step: (word) => {
    const { every, factor } = numbers('--schedule', word, { every: undefined, factor: 0.1 });
    return stepDecay(every, factor);
  },
  'one-cycle': (word, steps) => {
    const { steps: length, warm } = numbers('--schedule', word, { steps, warm: 0.3 });
    return oneCycle(length, { warm });
  },
  'warmup-stable-decay': (word, steps) => {
    const {
      steps: length,
      floor,
      ...rise
    } = numbers('--schedule', word, {
      steps,
      warmup: undefined,
      decay: undefined,
      floor: 0,
    });
    const stable = length - rise.warmup - rise.decay;
    if (!(stable >= 1))
      throw new UsageError(
        `--schedule ${word.name}: warmup=${rise.warmup} and decay=${rise.decay} leave nothing of ${length} steps between them`,
      );
    return warmupStableDecay({ ...rise, stable }, floor);
  },
  sqrt: (word, steps) => {
    const { steps: length, floor } = numbers('--schedule', word, { steps, floor: 0 });
    return sqrtDecay(length, floor);
  },
  'inverse-sqrt': (word) => inverseSqrt(numbers('--schedule', word, { warmup: undefined }).warmup),
  'inverse-time': (word) => {
    const { rate, ...rest } = numbers('--schedule', word, { rate: undefined, every: 1, power: 1 });
    return inverseTime(rate, rest);
  },
  plateau: (word) => reduceOnPlateau(numbers('--schedule', word, { factor: 0.1, patience: 3, cooldown: 0, floor: 0 })),
};

/**
 * @param steps of the run in all, where they are known
 * @throws UsageError
 */
export function scheduleOf(
  text: string | undefined,
  rise: number | undefined,
  steps: number | undefined,
): Schedule | undefined {
  if (text === undefined) return rise === undefined ? undefined : warmup(rise, constantFactor(1, 1));
  const word = parseWord('--schedule', text);
  const make = known('--schedule', word.name, schedules);
  if (rise === undefined) return make(word, steps);
  if (steps !== undefined && rise >= steps)
    throw new UsageError(`--warmup ${rise} is as long as the run, which has ${steps} steps`);
  return warmup(rise, make(word, steps === undefined ? undefined : steps - rise));
}

/** Metrics by name. */
export const metrics: Readonly<Record<(typeof metricNames)[number], (settings: Word['settings']) => Metric>> = {
  accuracy,
  f1: (settings) => f1(settings),
  'confusion-matrix': (settings) => confusionMatrix(settings),
  perplexity: () => perplexity(),
  mae,
  r2,
};

/** Metrics by name, separated by commas. @throws UsageError */
export function metricsOf(text: string, settings: Word['settings']): Metric[] {
  const shared = ['output', 'target', 'classAxis', 'ignoreIndex'];
  const where = Object.fromEntries(Object.entries(settings).filter(([name]) => shared.includes(name)));
  return text.split(',').map((each) => {
    const name = each.trim();
    const k = /^top(\d+)$/.exec(name)?.[1];
    if (k !== undefined) return topK(Number(k), where);
    return known('--metrics', name, metrics)(where);
  });
}
