import { requireDataset } from './given.js';
import { kindOf, kinds, type MaybePromise, type OptionKind } from '@adakit/core';
import { matchInputs, sampleCount, type Batch, type Dataset } from '@adakit/data';
import { FitError, requireOptions } from '../error.js';
import { loss as meanLoss, type Metric, type MetricValue } from '../metrics/metric.js';
import type { Trainable } from '../trainable.js';
import { BatchRuns } from './batch-runs.js';
import { Breather } from './breather.js';
import { Carried, CARRY, type Carry } from './carried.js';
import { Interruption } from './interruption.js';

/** What metrics say, by name; `loss` is always among them. */
export type MetricValues = Readonly<Record<string, MetricValue>>;

/** How a model is evaluated. */
export interface EvaluateOptions {
  /** Default: the loss alone. */
  readonly metrics?: readonly Metric[];
  /** State that goes from batch to batch, from zero: see `FitOptions`. */
  readonly carry?: Carry;
  /** Ends it between two batches, or while it waits for one, with the signal's reason as the error. */
  readonly signal?: AbortSignal;
  readonly onBatch?: (batches: number) => MaybePromise<void>;
}

/**
 * How good a model is on data: one pass in inference mode.
 *
 * @throws FitError `invalid-metric`; `invalid-argument` for data without batches, and what cannot be evaluated
 */
export async function evaluate(
  model: Pick<Trainable, 'evaluate' | 'inputs'>,
  data: Dataset<Batch>,
  options: EvaluateOptions = {},
): Promise<MetricValues> {
  requireOptions('evaluate', options, {
    metrics: kinds.list,
    carry: CARRY,
    signal: kinds.signal,
    onBatch: kinds.callable,
  } satisfies Record<keyof EvaluateOptions, OptionKind>);
  const { metrics = [], carry = {}, signal, onBatch } = options;
  requireDataset('evaluate', data);
  if (Object(model) !== model || model.evaluate === undefined) {
    throw new FitError('invalid-argument', 'what is trained cannot be evaluated: it has no method evaluate(batch)');
  }
  const used = allMetrics(metrics).map((metric) => ({ metric, accumulator: metric.start() }));
  const match = model.inputs === undefined ? (batch: Batch) => batch : matchInputs(model.inputs);
  const carried = new Carried(carry, model.inputs);
  const breather = new Breather();
  const interruption = new Interruption(signal);
  const reader = new BatchRuns(data, 1);
  let batches = 0;
  try {
    for (;;) {
      signal?.throwIfAborted();
      const next = await interruption.wait(reader.next(1));
      if (next.length === 0) break;
      const [{ raw }] = next;
      const samples = sampleCount(raw);
      const batch = match(raw);
      const { loss, outputs } = await model.evaluate(carried.feed(batch));
      carried.take(outputs);
      const observation = { loss, outputs, samples, batch };
      for (const { accumulator } of used) accumulator.add(observation);
      batches++;
      await onBatch?.(batches);
      if (breather.isDue) await breather.breathe();
    }
  } finally {
    interruption.close();
    await reader.close();
  }
  if (batches === 0)
    throw new FitError('invalid-argument', `there is not one batch to evaluate on in ${data.description}`);
  return Object.fromEntries(used.map(({ metric, accumulator }) => [metric.name, accumulator.value()]));
}

/** With the loss, which everybody wants to see. @throws FitError `invalid-metric` for two of one name */
export function allMetrics(metrics: readonly Metric[]): readonly Metric[] {
  for (const metric of metrics as readonly unknown[]) {
    const { name, start } = Object(metric) as Readonly<Record<string, unknown>>;
    if (typeof name === 'string' && typeof start === 'function') continue;
    const called =
      typeof metric === 'function' ? `the function ${metric.name}; call it: ${metric.name}()` : kindOf(metric);
    throw new FitError('invalid-metric', `a metric is what accuracy() and its like give, got ${called}`);
  }
  const all = metrics.some(({ name }) => name === 'loss') ? metrics : [meanLoss(), ...metrics];
  const names = all.map(({ name }) => name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice === undefined) return all;
  throw new FitError('invalid-metric', `two metrics are called '${twice}'; give one another name: { name: '…' }`);
}
