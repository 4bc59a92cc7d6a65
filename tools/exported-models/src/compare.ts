import { adam } from '@adakit/adam';
import {
  checkModel,
  crossEntropy,
  gradientsGraph,
  initialParameters,
  readModel,
  writeModel,
  type Model,
  type ModelCheck,
} from '@adakit/onnx';
import { gradcheck, TrainingSession, type Batch, type Gradcheck, type GradcheckOptions } from '@adakit/runner-onnx';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import type { ExportedModel, Fixture, Reference } from './fixture.js';

/**
 * A float32 computation of these depths loses a few roundings of 6e-8 relative to the largest element; 1e-5 is two
 * orders above that and far below any mistake.
 */
const ACCURACY = 1e-5;

/**
 * Where rounding decides more (a ReLU at nearly 0, a batch normalization over few numbers), a correct float32 run may
 * be four times as far off as PyTorch's own float32 run or its float64 run from perturbed weights was.
 */
const SPREAD = 4;

/**
 * Of a running statistic: behind 120 layers that round by 6e-8 each, 7e-6 is to be expected, and processors differ. What
 * the variance would be off by without the factor (n − 1)/n is 1e-4 for the largest n, 1024, and a momentum of 0.1.
 */
const STATISTIC_ACCURACY = 5e-5;

/**
 * Compared with the largest gradient of a model, a few roundings: the size of a gradient that is exactly zero. Where it adds
 * up more numbers, PyTorch's own is larger, too.
 */
const ZERO = 2e-7;

/** A deviation and what it may be. */
export interface Deviation {
  readonly of: string;
  readonly error: number;
  readonly bound: number;
}

export interface GradientComparison {
  readonly loss: Deviation;
  /** Of each parameter, the largest difference of an element, relative to the largest element. */
  readonly gradients: readonly Deviation[];
  /** Of each running statistic after one step, relative to its largest element. */
  readonly statistics: readonly Deviation[];
}

/** What training a model has to be told that its file does not say. */
function trainingOptions({ fixture, file }: ExportedModel, { parameters }: ModelCheck) {
  const { constants } = fixture.models[file];
  // Tables of constants look like parameters; a user freezes them by name.
  const freeze = parameters.filter(({ name, selected }) => selected && constants.includes(name));
  return { loss: crossEntropy({ classAxis: fixture.classAxis }), freeze: freeze.map(({ name }) => name) };
}

/** Loss, gradients and running statistics of the first batch, against PyTorch's in float64. */
export async function compareGradients(exported: ExportedModel, reference: Reference): Promise<GradientComparison> {
  const { fixture, path } = exported;
  const model = await readModel(path);
  const graph = gradientsGraph(model, trainingOptions(exported, checkModel(model)));
  const weights = initialParameters(model, [...graph.parameters, ...graph.statistics]);
  const session = await InferenceSession.create(writeModel(graph.model), { logSeverityLevel: 3 });
  const results = await session.run({
    ...feeds(reference.batches[0], graph.targets[0].name),
    ...Object.fromEntries(
      Object.entries(weights).map(([name, { data, shape }]) => [
        name,
        new Tensor('float32', data as Float32Array, shape),
      ]),
    ),
  });
  await session.release();

  const expected = [...reference.gradients.keys()].sort();
  const found = graph.parameters.map(({ name }) => name).sort();
  if (found.join() !== expected.join()) {
    const missing = expected.filter((name) => !found.includes(name));
    const added = found.filter((name) => !expected.includes(name));
    throw new Error(`${path}: the parameters ${missing.join(', ')} are missing, ${added.join(', ')} are none`);
  }
  const gradients = deviationsOf(
    new Map(graph.parameters.map(({ name }) => [name, results[graph.gradients[name]].data as Float32Array])),
    { values: reference.gradients, rounding: reference.rounding },
  );
  const lossValue = Number(results[graph.loss].data[0]);
  return {
    loss: lossDeviation(lossValue, fixture.loss),
    gradients,
    statistics: graph.statistics.map(({ name, output }) => {
      const started = weights[name].data as Float32Array;
      return compareStatistic(fixture, reference, name, started, results[output].data as Float32Array);
    }),
  };
}

/** What tensors should be, by name. */
export interface Expected {
  readonly values: ReadonlyMap<string, Float32Array>;
  /** The largest effect of rounding on any element. */
  readonly rounding: ReadonlyMap<string, number>;
}

/** Of each expected tensor, the largest difference of an element, relative to the largest element. */
export function deviationsOf(found: ReadonlyMap<string, Float32Array>, { values, rounding }: Expected): Deviation[] {
  const largest = Math.max(...[...values.values()].map(magnitude));
  return [...values].map(([name, value]) => {
    const error = difference(found.get(name) ?? new Float32Array(), value);
    const scale = magnitude(value);
    const spread = SPREAD * (rounding.get(name) ?? 0);
    // A gradient that is zero but for rounding (softmax cancels the bias of the keys) has no scale of its own: what adds
    // up to zero is as large as the other gradients.
    if (scale < ZERO * largest) return { of: name, error: error / largest, bound: Math.max(ZERO, spread / largest) };
    return { of: name, error: error / scale, bound: Math.max(ACCURACY, spread / scale) };
  });
}

/** Of a loss, relative. */
export function lossDeviation(found: number, expected: number): Deviation {
  return { of: 'loss', error: Math.abs(found / expected - 1), bound: ACCURACY };
}

/**
 * PyTorch moves a running variance towards the unbiased variance of the batch, Σ(x − μ)²/(n − 1), ONNX towards the
 * plain one, Σ(x − μ)²/n: the factor (n − 1)/n between them is accounted for here.
 */
function compareStatistic(
  { normalizations }: Fixture,
  { statistics }: Reference,
  name: string,
  started: Float32Array,
  found: Float32Array,
): Deviation {
  const ofBatch = statistics.get(name);
  const match = /^(.*)\.running_(mean|var)$/.exec(name);
  if (ofBatch === undefined || match === null) throw new Error(`'${name}' is no running statistic of PyTorch`);
  const [, path, kind] = match;
  const { momentum, count } = normalizations[path];
  const factor = kind === 'var' ? (count - 1) / count : 1;
  const expected = ofBatch.map((value, i) => (1 - momentum) * started[i] + momentum * value * factor);
  const scale = magnitude(expected);
  return { of: name, error: difference(found, expected) / scale, bound: STATISTIC_ACCURACY };
}

/** The losses of training with Adam, against PyTorch's in float64. */
export async function compareTraining(exported: ExportedModel, { batches }: Reference): Promise<Deviation[]> {
  const { fixture, path } = exported;
  const session = await trainingSession(exported, await readModel(path));
  try {
    const deviations: Deviation[] = [];
    for (const [step, expected] of fixture.losses.entries()) {
      const { loss } = await session.step(batches[step % batches.length]);
      const bound = Math.max(ACCURACY, SPREAD * fixture.sensitivity[step]);
      deviations.push({ of: `step ${step + 1}`, error: Math.abs(loss / expected - 1), bound });
    }
    return deviations;
  } finally {
    await session.dispose();
  }
}

/**
 * The compiled gradient against differences of the original model, with the inputs of the first batch: random ones may
 * mask all of a text, and float32 loses everything that is added to −3e38.
 */
export function compareDifferences(
  exported: ExportedModel,
  { batches }: Reference,
  options: GradcheckOptions = {},
): Promise<Gradcheck> {
  const inputs = Object.fromEntries(Object.entries(batches[0]).filter(([name]) => name !== 'labels'));
  return gradcheck(exported.path, { seed: 1, directions: 1, inputs, ...options });
}

/** A session that trains a model as its fixture was trained. */
export function trainingSession(exported: ExportedModel, model: Model, threads = 1): Promise<TrainingSession> {
  return TrainingSession.create({
    model: exported.path,
    ...trainingOptions(exported, checkModel(model)),
    optimizer: adam({ lr: exported.fixture.learningRate }),
    session: { intraOpNumThreads: threads },
  });
}

/** The largest deviation compared with its bound. */
export function worst(deviations: readonly Deviation[]): Deviation {
  return deviations.reduce((a, b) => (b.error / b.bound > a.error / a.bound ? b : a));
}

function feeds(batch: Batch, target: string): Record<string, Tensor> {
  return Object.fromEntries(
    Object.entries(batch).map(([name, { data, dims }]) => [
      name === 'labels' ? target : name,
      data instanceof BigInt64Array
        ? new Tensor('int64', data, dims)
        : new Tensor('float32', data as Float32Array, dims),
    ]),
  );
}

function difference(a: Float32Array, b: Float32Array): number {
  if (a.length !== b.length) return Infinity;
  return b.reduce((max, value, i) => Math.max(max, Math.abs(a[i] - value)), 0);
}

function magnitude(values: Float32Array): number {
  return values.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
}
