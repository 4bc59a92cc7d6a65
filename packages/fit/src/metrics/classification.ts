import { elementCount, kinds, type OptionKind } from '@adakit/core';
import type { DataTensor } from '@adakit/data';
import { FitError, requireOptions } from '../error.js';
import { METRIC_OPTIONS, outputOf, targetOf, type Metric, type MetricOptions, type Observation } from './metric.js';

/** Where classes and labels are found. */
export interface ClassificationOptions extends MetricOptions {
  /**
   * The axis of the output that counts classes. Default: the one without which the output has the shape of the labels, the
   * second before the last ([n, classes, …] before [n, …, classes]).
   */
  readonly classAxis?: number;
  /** A label of positions to leave out. Default: −100, as in PyTorch. */
  readonly ignoreIndex?: number;
}

const CLASSIFICATION_OPTIONS: Readonly<Record<keyof ClassificationOptions, OptionKind>> = {
  ...METRIC_OPTIONS,
  classAxis: kinds.within({ integer: true }),
  ignoreIndex: kinds.within({ integer: true }),
};

/** Share of the labels, 0…1, that have the largest score alone. One score a label means two classes, positive or not. */
export function accuracy(options: ClassificationOptions = {}): Metric {
  requireOptions('accuracy', options, CLASSIFICATION_OPTIONS);
  const { name = 'accuracy', ...rest } = options;
  return shareOf(name, rest, 1);
}

/** Share of the labels, 0…1, whose score is among the k largest; equal ones count against it. */
export function topK(k: number, options: ClassificationOptions = {}): Metric {
  requireOptions('topK', options, CLASSIFICATION_OPTIONS);
  const { name = `top${k}`, ...rest } = options;
  if (!Number.isInteger(k) || k < 1)
    throw new FitError('invalid-metric', `topK: k must be a whole number of at least 1, got ${k}`);
  return shareOf(name, rest, k);
}

function shareOf(name: string, options: ClassificationOptions, k: number): Metric {
  return {
    name,
    better: 'higher',
    start: () => {
      let [right, count] = [0, 0];
      return {
        add: (observation) => {
          eachLabel(observation, name, options, (scores, label) => {
            if (scores.rank(label) < k) right++;
            count++;
          });
        },
        value: () => right / count,
      };
    },
  };
}

/** How often a label (row) was taken for a class (column). */
export function confusionMatrix(options: ClassificationOptions = {}): Metric {
  requireOptions('confusionMatrix', options, CLASSIFICATION_OPTIONS);
  const { name = 'confusionMatrix', ...rest } = options;
  return { name, start: () => counting(name, rest, (counts) => counts) };
}

/** Which classes F1 is taken of, and how they are averaged. */
export interface F1Options extends ClassificationOptions {
  /** `macro`: the mean over classes that occur, the default; `weighted` by their labels; `micro`: of all together. */
  readonly average?: 'macro' | 'weighted' | 'micro';
}

/** F₁ = 2·TP / (2·TP + FP + FN). */
export function f1(options: F1Options = {}): Metric {
  requireOptions('f1', options, { ...CLASSIFICATION_OPTIONS, average: kinds.oneOf('macro', 'weighted', 'micro') });
  const { name = 'f1', average = 'macro', ...rest } = options;
  return { name, better: 'higher', start: () => counting(name, rest, (counts) => f1Of(counts, average)) };
}

function f1Of(counts: readonly (readonly number[])[], average: 'macro' | 'weighted' | 'micro'): number {
  const classes = counts.map((row, k) => {
    const labels = row.reduce((sum, count) => sum + count, 0);
    const guesses = counts.reduce((sum, each) => sum + each[k], 0);
    return { hits: row[k], labels, total: labels + guesses };
  });
  const add = (value: (each: (typeof classes)[number]) => number): number =>
    classes.reduce((sum, each) => sum + value(each), 0);
  const score = ({ hits, total }: (typeof classes)[number]): number => (total === 0 ? 0 : (2 * hits) / total);
  switch (average) {
    case 'micro':
      return (2 * add(({ hits }) => hits)) / add(({ total }) => total);
    case 'weighted':
      return add((each) => each.labels * score(each)) / add(({ labels }) => labels);
    case 'macro':
      return add(score) / classes.filter(({ total }) => total > 0).length;
  }
}

function counting<V extends number | readonly (readonly number[])[]>(
  name: string,
  options: ClassificationOptions,
  value: (counts: number[][]) => V,
) {
  const counts: number[][] = [];
  return {
    add: (observation: Observation) => {
      eachLabel(observation, name, options, (scores, label) => {
        while (counts.length < scores.classes) {
          for (const row of counts) row.push(0);
          counts.push(new Array<number>(counts.length + 1).fill(0));
        }
        const guess = scores.largest();
        if (guess < 0) throw new FitError('invalid-metric', `${name}: the output holds numbers that are not finite`);
        counts[label][guess]++;
      });
    },
    value: () => value(counts),
  };
}

/** The scores of all classes at one place. */
class Scores {
  readonly classes: number;
  readonly #data: ArrayLike<number | bigint>;
  readonly #stride: number;
  #start = 0;

  constructor(data: ArrayLike<number | bigint>, classes: number, stride: number) {
    this.#data = data;
    this.classes = classes;
    this.#stride = stride;
  }

  moveTo(start: number): void {
    this.#start = start;
  }

  /** The class with the largest score, the first of equals; −1 if a score is not a number. */
  largest(): number {
    let best = 0;
    for (let k = 0; k < this.classes; k++) {
      const score = Number(this.#data[this.#start + k * this.#stride]);
      if (Number.isNaN(score)) return -1;
      if (score > Number(this.#data[this.#start + best * this.#stride])) best = k;
    }
    return best;
  }

  /** How many other classes have a score that is not lower; those that are not numbers count. */
  rank(label: number): number {
    const own = Number(this.#data[this.#start + label * this.#stride]);
    let better = 0;
    for (let k = 0; k < this.classes; k++) {
      if (k !== label && !(Number(this.#data[this.#start + k * this.#stride]) < own)) better++;
    }
    return better;
  }
}

/** Visits the labels that count with the scores at their places. */
function eachLabel(
  observation: Observation,
  name: string,
  { output, target, classAxis, ignoreIndex = -100 }: ClassificationOptions,
  visit: (scores: Scores, label: number) => void,
): void {
  const scored = outputOf(observation, name, output);
  const { data: labels, dims } = targetOf(observation, name, target);
  const binary = scored.data.length === labels.length && classAxis === undefined;
  const axis = binary ? scored.dims.length : (classAxis ?? axisOfClasses(name, scored, dims));
  const classes = binary ? 2 : scored.dims[axis];
  const inner = elementCount(scored.dims.slice(axis + 1));
  // The score of "not" is zero.
  const data = binary
    ? Float64Array.from({ length: 2 * labels.length }, (_, i) => (i % 2) * Number(scored.data[i >> 1]))
    : scored.data;
  const scores = new Scores(data, classes, inner);
  const counted = (labels.length / Math.max(1, dims[0] ?? 1)) * observation.samples;
  for (let i = 0; i < counted; i++) {
    const label = Number(labels[i]);
    if (label === ignoreIndex) continue;
    if (!Number.isInteger(label) || label < 0 || label >= classes) {
      throw new FitError(
        'invalid-metric',
        `${name}: the label ${label} at position ${i} is none of the ${classes} classes of the output`,
      );
    }
    scores.moveTo(Math.floor(i / inner) * inner * classes + (i % inner));
    visit(scores, label);
  }
}

function axisOfClasses(name: string, { dims }: DataTensor, labels: readonly number[]): number {
  const without = (axis: number): string => dims.filter((_, i) => i !== axis).join();
  const axis = [1, dims.length - 1].find(
    (candidate) => candidate > 0 && candidate < dims.length && without(candidate) === labels.join(),
  );
  if (axis !== undefined) return axis;
  throw new FitError(
    'invalid-metric',
    `${name}: labels of shape [${labels.join(', ')}] do not belong to an output of shape [${dims.join(', ')}]; ` +
      'name the right ones with the options output and target',
  );
}
