import { kinds, suggestion, type OptionKind } from '@adakit/core';
import type { Batch, DataTensor } from '@adakit/data';
import { FitError } from '../error.js';
import type { Outputs } from '../trainable.js';

/** What a metric says: a number, or a table of them. */
export type MetricValue = number | readonly (readonly number[])[];

/** What a model made of a batch. */
export interface Observation {
  /** Averaged over the batch. */
  readonly loss: number;
  /** The first so many of the batch count; what follows are copies that fill it up. */
  readonly samples: number;
  readonly outputs: Outputs;
  readonly batch: Batch;
}

/** Adds up over batches. */
export interface Accumulator {
  add(observation: Observation): void;
  value(): MetricValue;
}

/** How good a model is, over all batches of a pass: a name and something that adds up. */
export interface Metric {
  readonly name: string;
  /** Which is better, where it can be said: what `monitor` goes by. */
  readonly better?: 'lower' | 'higher';
  start(): Accumulator;
}

/** Where a metric finds what it compares. */
export interface MetricOptions {
  /** Which output of the model. Default: the only one. */
  readonly output?: string;
  /** Which tensor of the batch. Default: `labels`, `targets` or `target`, the first that is there. */
  readonly target?: string;
  /** What it is called in logs. Default: the function's name. */
  readonly name?: string;
}

/** {@link MetricOptions}, as they may be. */
export const METRIC_OPTIONS: Readonly<Record<keyof MetricOptions, OptionKind>> = {
  output: kinds.text,
  target: kinds.text,
  name: kinds.text,
};

/** The output that a metric looks at. @throws FitError `invalid-metric` */
export function outputOf({ outputs }: Observation, metric: string, name: string | undefined): DataTensor {
  return chosen(Object.keys(outputs), outputs, `${metric}: the model has no output`, 'output', name, (names) =>
    names.length === 1 ? names[0] : undefined,
  );
}

/** The tensor of the batch that a metric compares with. @throws FitError `invalid-metric` */
export function targetOf({ batch }: Observation, metric: string, name: string | undefined): DataTensor {
  return chosen(Object.keys(batch), batch, `${metric}: the batch has no tensor`, 'target', name, (names) =>
    ['labels', 'targets', 'target'].find((usual) => names.includes(usual)),
  );
}

function chosen(
  names: readonly string[],
  record: Outputs,
  lacks: string,
  option: string,
  name: string | undefined,
  usual: (names: readonly string[]) => string | undefined,
): DataTensor {
  const found = name ?? usual(names);
  if (found !== undefined && Object.hasOwn(record, found)) return record[found] as DataTensor;
  throw new FitError(
    'invalid-metric',
    found === undefined
      ? `${lacks} that it could only mean; name one with the option ${option} (there are: ${names.join(', ')})`
      : `${lacks} '${found}'${suggestion(found, names)} (there are: ${names.join(', ')})`,
  );
}

/** The loss, averaged over samples. */
export function loss(): Metric {
  return { name: 'loss', better: 'lower', start: () => meanLoss((mean) => mean) };
}

/** e^loss: what a language model's cross-entropy amounts to in equally likely tokens. */
export function perplexity(): Metric {
  return { name: 'perplexity', better: 'lower', start: () => meanLoss(Math.exp) };
}

function meanLoss(value: (mean: number) => number): Accumulator {
  let [sum, count] = [0, 0];
  return {
    add: (observation) => {
      sum += observation.loss * observation.samples;
      count += observation.samples;
    },
    value: () => value(sum / count),
  };
}
