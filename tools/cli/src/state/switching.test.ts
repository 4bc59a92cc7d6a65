import { elementCount, type Optimizer, tensor32, type TrainingState, cosine } from '@adakit/core';
import { adaptState, deriveMappings, describeParameters, inverseMappings, mapState } from '@adakit/state';
import { Emitter, Graph, modelFromGraph, symbol, Tensor, writeModel } from '@adakit/onnx';
import { mse, TrainingSession } from '@adakit/runner-onnx';
import { tfjsOptimizer, type AdakitOptimizer } from '@adakit/runner-tfjs';
import * as tf from '@tensorflow/tfjs';
import { beforeAll, describe, expect, it } from 'vitest';
import { optimizerByName } from '../optimizer-by-name.js';

/** A convolution, a flattened image and a dense layer; as TensorFlow.js has them and as ONNX has them. */
const tfjsShapes = {
  'conv/kernel': [3, 3, 2, 4],
  'conv/bias': [4],
  'dense/kernel': [4 * 4 * 4, 3],
  'dense/bias': [3],
};
const onnxShapes = { 'conv.weight': [4, 2, 3, 3], 'conv.bias': [4], 'fc.weight': [3, 4 * 4 * 4], 'fc.bias': [3] };

const list = (shapes: Readonly<Record<string, number[]>>) =>
  Object.entries(shapes).map(([name, shape]) => ({ name, shape }));
const toOnnx = deriveMappings(list(tfjsShapes), list(onnxShapes));
const toTfjs = inverseMappings(toOnnx, tfjsShapes);

/** Numbers between −scale and scale, the same each time. */
const noise = (shape: readonly number[], seed: number, scale = 1) =>
  tensor32(
    Float32Array.from({ length: elementCount(shape) }, (_, i) => scale * Math.sin(12.9898 * (i + 1) + 78.233 * seed)),
    shape,
  );

const BATCH = 5;
const batch = (step: number) => ({ x: noise([BATCH, 6, 6, 2], 100 + step), y: noise([BATCH, 3], 200 + step) });

beforeAll(() => tf.setBackend('cpu'));

/** Training in TensorFlow.js on variables, gradients by its own differentiation. */
class TfjsTraining {
  readonly #variables: ReadonlyMap<string, tf.Variable>;
  readonly #optimizer: AdakitOptimizer;

  constructor(optimizer: Optimizer) {
    const variables = Object.entries(tfjsShapes).map(([name, shape], i) => {
      const initial = tf.tensor(noise(shape, i, 0.3).data, shape);
      return [name, tf.variable(initial, true, name)] as const;
    });
    this.#variables = new Map(variables);
    this.#optimizer = tfjsOptimizer(optimizer);
  }

  async load(state: TrainingState): Promise<void> {
    await this.#optimizer.load(state, this.#variables.values());
  }

  state(): Promise<TrainingState> {
    return this.#optimizer.state();
  }

  step(step: number): void {
    const { x, y } = batch(step);
    const weight = (name: string): tf.Tensor => {
      const variable = this.#variables.get(name);
      if (variable === undefined) throw new Error(name);
      return variable;
    };
    this.#optimizer.minimize(() => {
      const image = tf.tensor4d(x.data, [BATCH, 6, 6, 2]);
      const features = tf.conv2d(image, weight('conv/kernel') as tf.Tensor4D, 1, 'valid').add(weight('conv/bias'));
      const flat = features.tanh().reshape<tf.Tensor2D>([BATCH, 64]);
      const output = tf.matMul(flat, weight('dense/kernel') as tf.Tensor2D).add(weight('dense/bias'));
      return tf.losses.meanSquaredError(tf.tensor2d(y.data, [BATCH, 3]), output).asScalar();
    });
  }

  dispose(): void {
    this.#optimizer.dispose();
    this.#variables.forEach((variable) => {
      variable.dispose();
    });
  }
}

/** The same model for ONNX Runtime; its weights come with a state. */
function onnxModel(): Uint8Array {
  const graph = new Graph('cnn');
  const x = graph.addInput('x', { dtype: 'float32', shape: [symbol('batch'), 2, 6, 6] });
  const [w, b, fw, fb] = Object.entries(onnxShapes).map(([name, dims]) =>
    graph.addInitializer(name, Tensor.of('float32', dims, new Float32Array(elementCount(dims)))),
  );
  const e = new Emitter(graph);
  const features = e.node('Tanh', [e.node('Conv', [x, w, b])]);
  const y = e.node('Gemm', [e.node('Flatten', [features]), fw, fb], { transB: 1 });
  Object.assign(y, { dtype: 'float32', shape: [symbol('batch'), 3] });
  graph.rename(y, 'y');
  graph.outputs.push(y);
  return writeModel(modelFromGraph(graph));
}

async function onnxStep(session: TrainingSession, step: number): Promise<void> {
  const { x, y } = batch(step);
  const image = tf.tensor4d(x.data, [BATCH, 6, 6, 2]).transpose([0, 3, 1, 2]);
  await session.step({
    x: { data: image.dataSync<'float32'>(), dims: [BATCH, 2, 6, 6] },
    target: { data: y.data, dims: [BATCH, 3] },
  });
}

const optimizers: readonly Optimizer[] = [
  optimizerByName('sgd', { lr: 0.01, momentum: 0.9 }),
  optimizerByName('adam', { lr: 1e-3, weightDecay: 0.01, amsgrad: true }),
  optimizerByName('adadiff', { lr: 1e-3 }),
  optimizerByName('adabelief', { lr: 1e-3, weightDecay: 0.01 }),
  optimizerByName('adabound', { lr: 1e-3 }).withSchedules({ lr: cosine(12, 0.1) }),
];

/** Steps 1 to 4 and 9 to 12 in TensorFlow.js, 5 to 8 in ONNX Runtime; `handOver` changes states on the way. */
async function switching(optimizer: Optimizer, handOver = (state: TrainingState) => state): Promise<TrainingState> {
  const tfjs = new TfjsTraining(optimizer);
  const session = await TrainingSession.create({ model: onnxModel(), loss: mse(), optimizer });
  try {
    for (let step = 1; step <= 4; step++) tfjs.step(step);
    await session.load(mapState(handOver(await tfjs.state()), toOnnx));
    for (let step = 5; step <= 8; step++) await onnxStep(session, step);
    await tfjs.load(mapState(await session.state(), toTfjs));
    for (let step = 9; step <= 12; step++) tfjs.step(step);
    return await tfjs.state();
  } finally {
    tfjs.dispose();
    await session.dispose();
  }
}

async function neverSwitching(optimizer: Optimizer): Promise<TrainingState> {
  const tfjs = new TfjsTraining(optimizer);
  for (let step = 1; step <= 12; step++) tfjs.step(step);
  const state = await tfjs.state();
  tfjs.dispose();
  return state;
}

/** Every tensor of a state by name. */
function tensorsOf({ parameters }: TrainingState): Map<string, ArrayLike<number>> {
  return new Map(
    Object.entries(parameters).flatMap(([name, { value, slots }]) => [
      [name, value.data] as const,
      ...Object.entries(slots).map(([slot, { data }]) => [`${slot} of ${name}`, data] as const),
    ]),
  );
}

/** The largest difference of each tensor, relative to its largest element. */
function distances(actual: TrainingState, expected: TrainingState): Map<string, number> {
  const others = tensorsOf(expected);
  return new Map(
    [...tensorsOf(actual)].map(([name, data]) => {
      const other = Array.from(others.get(name) ?? []);
      const largest = Math.max(...other.map(Math.abs));
      return [name, Math.max(...other.map((value, i) => Math.abs(value - data[i]))) / largest];
    }),
  );
}

/**
 * The stated tolerance. The runtimes add up to some hundred products of a gradient in different orders, which changes it
 * by some 2⁻²⁴ of its largest element; slots are averages of gradients, and updates are as exact as gradients.
 */
const TOLERANCE = 64 * 2 ** -24;

describe.each(optimizers.map((optimizer) => [optimizer.name, optimizer] as const))('%s', (_, optimizer) => {
  it('from TensorFlow.js to ONNX Runtime and back is like never switching', async () => {
    const [actual, expected] = [await switching(optimizer), await neverSwitching(optimizer)];
    expect([actual.step, actual.optimizer]).toEqual([12, expected.optimizer]);
    expect(Object.values(actual.parameters).map(({ step }) => step)).toEqual([12, 12, 12, 12]);
    for (const [name, distance] of distances(actual, expected)) expect(distance, name).toBeLessThan(TOLERANCE);
  });

  it('is not if the slots stay behind', async () => {
    const restart = (state: TrainingState): TrainingState => {
      const parameters = Object.entries(state.parameters).map(([name, { value, slots }]) => {
        const empty = Object.entries(slots).map(([slot, tensor]) => {
          return [slot, { ...tensor, data: new Float32Array(tensor.data.length) }] as const;
        });
        return [name, { value, step: 0, slots: Object.fromEntries(empty) }] as const;
      });
      return { ...state, parameters: Object.fromEntries(parameters) };
    };
    const found = distances(await switching(optimizer, restart), await neverSwitching(optimizer));
    expect(Math.max(...found.values())).toBeGreaterThan(100 * TOLERANCE);
  });
});

it('a session that trains the dense layer alone takes the rest of a state as frozen, and says so', async () => {
  const optimizer = optimizerByName('adam', {});
  const tfjs = new TfjsTraining(optimizer);
  tfjs.step(1);
  const state = mapState(await tfjs.state(), toOnnx);
  tfjs.dispose();
  const session = await TrainingSession.create({ model: onnxModel(), loss: mse(), optimizer, train: /^fc/ });
  await expect(session.load(state)).rejects.toThrow('it has a parameter "conv.weight" that this run lacks');
  const parameters = Object.entries((await session.state()).parameters).map(
    ([name, { value }]) => [name, value] as const,
  );
  const frozen = ['conv.weight', 'conv.bias'];
  const adapted = adaptState(state, optimizer, Object.fromEntries(parameters), { frozen });
  await session.load(adapted.state);
  const names = describeParameters(await session.state()).map(({ name }) => name);
  expect(names).toEqual(['fc.weight', 'fc.bias']);
  expect(adapted.frozen['conv.bias']).toEqual(state.parameters['conv.bias'].value);
  await session.dispose();
});
