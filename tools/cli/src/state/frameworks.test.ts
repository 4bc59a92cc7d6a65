import { elementCount, tensor32, type TensorData, type TrainingState } from '@adakit/core';
import { deriveMappings, mapState, type ParameterDescription } from '@adakit/state';
import { readData } from '@adakit/fixtures';
import { Emitter, Graph, modelFromGraph, Tensor, writeModel } from '@adakit/onnx';
import { sgd } from '@adakit/sgd';
import * as tf from '@tensorflow/tfjs';
import * as ort from 'onnxruntime-node';
import { beforeAll, describe, expect, it } from 'vitest';

type Value = ReturnType<Emitter['node']>;

/** A layer or two in TensorFlow.js and the same in ONNX. */
interface Pair {
  readonly name: string;
  /** Without the batch. */
  readonly inputShape: readonly number[];
  readonly tfjs: readonly tf.layers.Layer[];
  /** Initializers in the order of the file. */
  readonly initializers: Readonly<Record<string, readonly number[]>>;
  readonly onnx: (e: Emitter, x: Value, p: Readonly<Record<string, Value>>) => Value;
  /** Inputs are word numbers below this. */
  readonly vocabulary?: number;
}

const l = tf.layers;
const gates = { recurrentActivation: 'sigmoid', activation: 'tanh', biasInitializer: 'randomNormal' } as const;
/** [batch, time, inputs] to [time, batch, inputs], as ONNX has sequences. */
const timeFirst = (e: Emitter, x: Value): Value => e.node('Transpose', [x], { perm: [1, 0, 2] });
const last = (e: Emitter, values: readonly Value[]): Value => e.node('Squeeze', [values[1], e.int64([0])]);

const pairs: readonly Pair[] = [
  {
    name: 'dense layers, square or not, multiplied either way',
    inputShape: [5],
    tfjs: [l.dense({ units: 4, activation: 'relu' }), l.dense({ units: 4 }), l.dense({ units: 3 })],
    initializers: {
      'fc1.weight': [4, 5],
      'fc1.bias': [4],
      'fc2.weight': [4, 4],
      'fc2.bias': [4],
      'onnx::MatMul_20': [4, 3],
      'fc3.bias': [3],
    },
    onnx: (e, x, p) => {
      const hidden = e.node('Relu', [e.node('Gemm', [x, p['fc1.weight'], p['fc1.bias']], { transB: 1 })]);
      const square = e.node('Gemm', [hidden, p['fc2.weight'], p['fc2.bias']], { transB: 1 });
      return e.add(e.node('MatMul', [square, p['onnx::MatMul_20']]), p['fc3.bias']);
    },
  },
  {
    name: 'convolutions, a flattened image and a dense layer',
    inputShape: [6, 5, 2],
    tfjs: [
      l.conv2d({ filters: 3, kernelSize: [3, 2], activation: 'relu' }),
      l.conv2d({ filters: 4, kernelSize: 3, strides: 2, padding: 'same' }),
      l.flatten(),
      l.dense({ units: 3 }),
    ],
    initializers: {
      'conv1.weight': [3, 2, 3, 2],
      'conv1.bias': [3],
      'conv2.weight': [4, 3, 3, 3],
      'conv2.bias': [4],
      'fc.weight': [3, 16],
      'fc.bias': [3],
    },
    onnx: (e, x, p) => {
      const first = e.node('Relu', [e.node('Conv', [x, p['conv1.weight'], p['conv1.bias']])]);
      // 4×4 with stride 2: TensorFlow pads one row and column, at the end.
      const second = e.node('Conv', [first, p['conv2.weight'], p['conv2.bias']], {
        strides: [2, 2],
        pads: [0, 0, 1, 1],
      });
      return e.node('Gemm', [e.node('Flatten', [second]), p['fc.weight'], p['fc.bias']], { transB: 1 });
    },
  },
  {
    name: 'depthwise and separable convolutions',
    inputShape: [6, 6, 3],
    tfjs: [
      l.depthwiseConv2d({ kernelSize: [3, 2], depthMultiplier: 2 }),
      l.separableConv2d({ kernelSize: 2, filters: 4, depthMultiplier: 2 }),
    ],
    initializers: {
      'dw.weight': [6, 1, 3, 2],
      'dw.bias': [6],
      'sep.0.weight': [12, 1, 2, 2],
      'sep.1.weight': [4, 12, 1, 1],
      'sep.1.bias': [4],
    },
    onnx: (e, x, p) => {
      const depthwise = e.node('Conv', [x, p['dw.weight'], p['dw.bias']], { group: 3 });
      const separate = e.node('Conv', [depthwise, p['sep.0.weight']], { group: 6 });
      return e.node('Conv', [separate, p['sep.1.weight'], p['sep.1.bias']]);
    },
  },
  {
    name: 'a transposed convolution',
    inputShape: [3, 4, 3],
    tfjs: [l.conv2dTranspose({ filters: 2, kernelSize: [2, 3], strides: 2 })],
    initializers: { 'up.weight': [3, 2, 2, 3], 'up.bias': [2] },
    onnx: (e, x, p) => e.node('ConvTranspose', [x, p['up.weight'], p['up.bias']], { strides: [2, 2] }),
  },
  {
    name: 'one and three dimensions of convolution',
    inputShape: [6, 3],
    tfjs: [l.conv1d({ filters: 4, kernelSize: 3 }), l.flatten(), l.dense({ units: 2 })],
    initializers: { 'c.weight': [4, 3, 3], 'c.bias': [4], 'fc.weight': [2, 16], 'fc.bias': [2] },
    onnx: (e, x, p) => {
      const features = e.node('Conv', [x, p['c.weight'], p['c.bias']]);
      return e.node('Gemm', [e.node('Flatten', [features]), p['fc.weight'], p['fc.bias']], { transB: 1 });
    },
  },
  {
    name: 'a convolution in three dimensions',
    inputShape: [3, 4, 3, 2],
    tfjs: [l.conv3d({ filters: 3, kernelSize: [2, 3, 2] })],
    initializers: { 'c.weight': [3, 2, 2, 3, 2], 'c.bias': [3] },
    onnx: (e, x, p) => e.node('Conv', [x, p['c.weight'], p['c.bias']]),
  },
  {
    name: 'batch normalization with its statistics',
    inputShape: [3, 3, 4],
    tfjs: [l.batchNormalization({ epsilon: 1e-5 })],
    initializers: { 'n.weight': [4], 'n.bias': [4], 'n.running_mean': [4], 'n.running_var': [4] },
    onnx: (e, x, p) => e.node('BatchNormalization', [x, ...Object.values(p)]),
  },
  {
    name: 'an embedding and an LSTM',
    inputShape: [4],
    vocabulary: 7,
    tfjs: [l.embedding({ inputDim: 7, outputDim: 7 }), l.lstm({ units: 3, ...gates }), l.dense({ units: 2 })],
    initializers: {
      'emb.weight': [7, 7],
      'onnx::LSTM_1': [1, 12, 7],
      'onnx::LSTM_2': [1, 12, 3],
      'onnx::LSTM_3': [1, 24],
      'fc.weight': [2, 3],
      'fc.bias': [2],
    },
    onnx: (e, x, p) => {
      const words = e.node('Gather', [p['emb.weight'], e.node('Cast', [x], { to: 7 })]);
      const weights = [p['onnx::LSTM_1'], p['onnx::LSTM_2'], p['onnx::LSTM_3']];
      const outputs = e.nodes('LSTM', [timeFirst(e, words), ...weights], { hidden_size: 3 }, 2);
      return e.node('Gemm', [last(e, outputs), p['fc.weight'], p['fc.bias']], { transB: 1 });
    },
  },
  {
    name: 'a GRU whose units are as many as its inputs',
    inputShape: [4, 3],
    tfjs: [l.gru({ units: 3, ...gates })],
    initializers: { W: [1, 9, 3], R: [1, 9, 3], B: [1, 18] },
    onnx: (e, x, p) => last(e, e.nodes('GRU', [timeFirst(e, x), p.W, p.R, p.B], { hidden_size: 3 }, 2)),
  },
  {
    name: 'an LSTM in both directions',
    inputShape: [4, 2],
    tfjs: [l.bidirectional({ layer: l.lstm({ units: 3, ...gates }), mergeMode: 'concat' })],
    initializers: { W: [2, 12, 2], R: [2, 12, 3], B: [2, 24] },
    onnx: (e, x, p) => {
      const attributes = { hidden_size: 3, direction: 'bidirectional' };
      const [, state] = e.nodes('LSTM', [timeFirst(e, x), p.W, p.R, p.B], attributes, 2);
      return e.node('Reshape', [e.node('Transpose', [state], { perm: [1, 0, 2] }), e.int64([-1, 6])]);
    },
  },
];

/** Numbers between −1 and 1, the same each time. */
function noise(length: number, seed: number): Float32Array {
  return Float32Array.from({ length }, (_, i) => Math.sin(12.9898 * (i + 1) + 78.233 * seed));
}

/** Channels from last to first, or the other way round. */
function transpose({ shape, data }: TensorData, permute: readonly number[]): TensorData<'float32'> {
  const tensor = tf.transpose(tf.tensor(data as Float32Array, [...shape]), [...permute]);
  return tensor32(tensor.dataSync<'float32'>(), tensor.shape);
}
const channelsFirst = (rank: number): number[] => [0, rank - 1, ...Array.from({ length: rank - 2 }, (_, i) => i + 1)];

const BATCH = 2;

beforeAll(() => tf.setBackend('cpu'));

/** The layers of TensorFlow.js with random weights, as a state. */
function createTfjs({ tfjs, inputShape, name }: Pair): { model: tf.Sequential; state: TrainingState } {
  const model = tf.sequential();
  tfjs.forEach((layer, i) => {
    if (i === 0) Object.assign(layer, { batchInputShape: [null, ...inputShape] });
    model.add(layer);
  });
  const weights = model.weights.map((weight, i) => {
    const data = noise(elementCount(weight.shape as number[]), i + name.length);
    // Variances are positive.
    if (weight.originalName.includes('variance')) data.forEach((x, j) => (data[j] = 1 + Math.abs(x)));
    return { name: weight.originalName, value: tensor32(data, weight.shape as number[]) };
  });
  model.setWeights(weights.map(({ value }) => tf.tensor(value.data, [...value.shape])));
  const parameters = Object.fromEntries(weights.map(({ name, value }) => [name, { value, step: 0, slots: {} }]));
  return { model, state: { optimizer: sgd({ lr: 1 }).toConfig(), step: 0, parameters, origin: 'tfjs' } };
}

/** Output of the ONNX graph with the given values of initializers. */
async function runOnnx(pair: Pair, parameters: TrainingState['parameters'], input: TensorData): Promise<ort.Tensor> {
  const graph = new Graph('layers');
  const x = graph.addInput('x', { dtype: 'float32', shape: [...input.shape] });
  const values = Object.entries(pair.initializers).map(([name, dims]) => {
    const data = parameters[name].value.data as Float32Array;
    return [name, graph.addInitializer(name, Tensor.of('float32', [...dims], data))] as const;
  });
  const y = pair.onnx(new Emitter(graph), x, Object.fromEntries(values));
  Object.assign(y, { dtype: 'float32' });
  graph.outputs.push(y);
  const session = await ort.InferenceSession.create(writeModel(modelFromGraph(graph)));
  const results = await session.run({ x: new ort.Tensor('float32', input.data as Float32Array, input.shape) });
  await session.release();
  return results[y.name];
}

describe.each(pairs)('$name', (pair) => {
  const rank = pair.inputShape.length + 1;
  /** Sequences and vectors have no channels to move; an input of convolutions does. */
  const isImage = pair.tfjs.some(({ name }) => /conv|batch_norm/.test(name));

  it('computes the same in ONNX Runtime with the mapping that is derived', async () => {
    const { model, state } = createTfjs(pair);
    const shape = [BATCH, ...pair.inputShape];
    const { vocabulary } = pair;
    const data = noise(elementCount(shape), 1);
    if (vocabulary !== undefined) data.forEach((x, i) => (data[i] = Math.floor(((x + 1) / 2) * vocabulary)));
    const input = tensor32(data, shape);

    const output = model.predict(tf.tensor(data, shape)) as tf.Tensor;
    const isImageOutput = isImage && output.rank > 2;
    const expected = isImageOutput
      ? transpose(tensor32(output.dataSync<'float32'>(), output.shape), channelsFirst(output.rank))
      : tensor32(output.dataSync<'float32'>(), output.shape);

    const from = model.weights.map(({ originalName, shape }) => ({ name: originalName, shape: shape as number[] }));
    const to: ParameterDescription[] = Object.entries(pair.initializers).map(([name, dims]) => ({ name, shape: dims }));
    const { parameters } = mapState(state, deriveMappings(from, to));
    const actual = await runOnnx(pair, parameters, isImage ? transpose(input, channelsFirst(rank)) : input);

    expect(actual.dims).toEqual(expected.shape);
    const largest = Math.max(...expected.data.map(Math.abs));
    const error = Math.max(...expected.data.map((value, i) => Math.abs(value - (actual.data[i] as number))));
    // Sums of at most a hundred float32 products in two orders: some 2⁻²⁴ each.
    expect(error).toBeLessThan(100 * 2 ** -24 * Math.max(largest, 1));
    expect(largest).toBeGreaterThan(0.05);
    // And back to the last bit.
    expect(mapState(mapState(state, deriveMappings(from, to)), deriveMappings(to, from))).toEqual(state);
    model.dispose();
  });
});

describe('recurrent layers of PyTorch', () => {
  interface Numbers {
    readonly dims: readonly number[];
    readonly data: readonly number[];
  }
  const recorded = readData('torch-recurrent.json') as Readonly<
    Record<
      string,
      {
        readonly parameters: Readonly<Record<string, Numbers>>;
        readonly input: Numbers;
        readonly output: readonly number[];
      }
    >
  >;

  it.each(Object.entries(recorded))(
    '%s: ONNX Runtime computes the same with the mapping that is derived',
    async (name, torch) => {
      const [gates, directions] = [name.startsWith('GRU') ? 3 : 4, name.includes('both') ? 2 : 1];
      const initializers = { W: [directions, gates * 2, 3], R: [directions, gates * 2, 2], B: [directions, gates * 4] };
      const to = Object.entries(initializers).map(([key, shape]) => ({ name: key, shape }));
      const from = Object.entries(torch.parameters).map(([key, { dims }]) => ({ name: key, shape: dims }));
      const values = Object.entries(torch.parameters).map(([key, { dims, data }]) => {
        return [key, { value: tensor32([...data], dims), step: 0, slots: {} }] as const;
      });
      const state = {
        optimizer: sgd({ lr: 1 }).toConfig(),
        step: 0,
        parameters: Object.fromEntries(values),
        origin: 'torch',
      };
      const mapped = mapState(state, deriveMappings(from, to));
      const pair: Pair = {
        name,
        inputShape: [4, 3],
        tfjs: [],
        initializers,
        onnx: (e, x, p) => {
          const options = {
            hidden_size: 2,
            ...(gates === 3 && { linear_before_reset: 1 }),
            ...(directions === 2 && { direction: 'bidirectional' }),
          };
          const [outputs] = e.nodes(gates === 3 ? 'GRU' : 'LSTM', [timeFirst(e, x), p.W, p.R, p.B], options);
          // [time, directions, batch, units] to [batch, time, directions, units].
          return e.node('Transpose', [outputs], { perm: [2, 0, 1, 3] });
        },
      };
      const input = tensor32([...torch.input.data], torch.input.dims);
      const { data } = await runOnnx(pair, mapped.parameters, input);
      // float32 here, float64 there; outputs are below 1.
      torch.output.forEach((value, i) => {
        expect(Math.abs((data[i] as number) - value)).toBeLessThan(1e-6);
      });
      expect(mapState(mapped, deriveMappings(to, from))).toEqual(state);
    },
  );
});
