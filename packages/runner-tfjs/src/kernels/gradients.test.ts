import * as tf from '@tensorflow/tfjs';
import '@tensorflow/tfjs-backend-wasm';
import { beforeAll, describe, expect, it } from 'vitest';
import { registerWasmKernels } from './wasm.js';

beforeAll(async () => {
  await tf.setBackend('wasm');
  registerWasmKernels();
});

/** A pseudorandom sequence, uniform in [0, 1): xorshift (Marsaglia 2003). */
let state = 1;
function random(): number {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return (state >>> 0) / 2 ** 32;
}

interface Input {
  readonly shape: readonly number[];
  readonly values: Float32Array | Int32Array;
}
const size = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
const uniform = (shape: number[], low = -1, high = 1): Input => ({
  shape,
  values: Float32Array.from({ length: size(shape) }, () => low + (high - low) * random()),
});
/** Whole numbers from −4 to 4: sums of their products are exact in float32, in whatever order. */
const whole = (...shape: number[]): Input => ({
  shape,
  values: Float32Array.from({ length: size(shape) }, () => Math.round(8 * random() - 4)),
});
/** All different and none above zero, so that no maximum is a tie. */
const negative = (...shape: number[]): Input => ({
  shape,
  values: Float32Array.from({ length: size(shape) }, (_, i) => -((i * 37) % size(shape))),
});
const ids = (shape: number[], from: number, to: number): Input => ({
  shape,
  values: Int32Array.from({ length: size(shape) }, () => from + Math.floor((to - from) * random())),
});

const make = ({ shape, values }: Input): tf.Tensor =>
  tf.tensor(values, [...shape], values instanceof Int32Array ? 'int32' : 'float32');

/** Small whole numbers to weigh the elements of a result with, so that a gradient is not the same everywhere. */
const weights = (shape: number[]): tf.Tensor =>
  tf.tensor(
    Float32Array.from({ length: size(shape) }, (_, i) => 2 * ((i * 7) % 5) - 3),
    shape,
  );

/** What f gives, and the gradients of its weighted sum with respect to the inputs in float32, on a backend. */
async function differentiate(backend: string, inputs: readonly Input[], f: Operation): Promise<Float32Array[]> {
  await tf.setBackend(backend);
  const before = tf.memory().numTensors;
  const apply = f as (...inputs: tf.Tensor[]) => tf.Tensor;
  const results = tf.tidy(() => {
    const constants = inputs.map(make);
    const differentiable = (_: tf.Tensor, i: number): boolean => inputs[i].values instanceof Float32Array;
    const gradients = tf.grads((...variables: tf.Tensor[]) => {
      const y = apply(
        ...constants.map((tensor, i) => (differentiable(tensor, i) ? (variables.shift() ?? tensor) : tensor)),
      );
      return y.mul(weights(y.shape)).sum();
    })(constants.filter(differentiable));
    return [apply(...constants), ...gradients];
  });
  expect(tf.memory().numTensors, 'tensors left behind').toBe(before + results.length);
  return results.map((tensor) => {
    const values = tensor.dataSync<'float32'>();
    tensor.dispose();
    return values;
  });
}

/**
 * Both backends round to float32, at most `roundings` times on the way to a number: a sum of n products n times, an
 * elementary function four times (its last bits are the backend's own). Each of the two is off by at most
 * roundings · 2^-24 · (the largest number on the way), and for what is tested here none is larger than the largest
 * number of the tensor that comes out.
 */
function expectEqual(actual: readonly Float32Array[], expected: readonly Float32Array[], roundings: number): void {
  expect(actual.map(({ length }) => length)).toEqual(expected.map(({ length }) => length));
  expect(Math.max(...expected.flatMap((values) => [...values].map(Math.abs)))).toBeGreaterThan(0);
  for (const [k, values] of expected.entries()) {
    const largest = Math.max(...values.map(Math.abs));
    const off = values.map((value, i) => Math.abs(actual[k][i] - value));
    expect(Math.max(...off), `result ${k}`).toBeLessThanOrEqual(2 * roundings * 2 ** -24 * largest);
  }
}

/** Its parameters are whatever kinds of tensor it takes. */
type Operation = (...inputs: never[]) => tf.Tensor;
/** Name, inputs, operation. */
type Case = readonly [name: string, inputs: readonly Input[], f: Operation, roundings?: number];

const images = whole(2, 8, 9, 3);
const volumes = whole(2, 4, 5, 6, 2);
const explicit = [[0, 0], [1, 2], [2, 0], [0, 0]] as [[number, number], [number, number], [number, number], [number, number]]; // prettier-ignore

type Strides2d = number | [number, number];
const convolutions = ([1, 2, [2, 3]] as Strides2d[]).flatMap((strides) =>
  (['same', 'valid', explicit] as const).flatMap((pad): Case[] => {
    const how = `strides ${String(strides)}, padding ${typeof pad === 'string' ? pad : 'explicit'}`;
    return [
      [`conv2d, ${how}`, [images, whole(3, 2, 3, 4)], (x, w) => tf.conv2d(x, w, strides, pad)],
      [`conv2d of single pixels, ${how}`, [images, whole(1, 1, 3, 4)], (x, w) => tf.conv2d(x, w, strides, pad)],
      [`depthwise, ${how}`, [images, whole(3, 2, 3, 1)], (x, w) => tf.depthwiseConv2d(x, w, strides, pad)],
      [
        `depthwise, multiplier 2, ${how}`,
        [images, whole(2, 3, 3, 2)],
        (x, w) => tf.depthwiseConv2d(x, w, strides, pad),
      ],
    ];
  }),
);
const convolutions3d = ([1, 2, [2, 1, 3]] as (number | [number, number, number])[]).flatMap((strides) =>
  (['same', 'valid'] as const).map((pad): Case => [
    `conv3d, strides ${String(strides)}, padding ${pad}`,
    [volumes, whole(3, 3, 2, 2, 3)],
    (x, w) => tf.conv3d(x, w, strides, pad),
  ]),
);
const pools = (
  [
    [2, 2, 'valid'],
    [3, 2, 'same'],
    [3, 1, 'same'],
    [2, 1, 'valid'],
    [3, 2, 1],
  ] as [number, number, 'same' | 'valid' | number][]
).flatMap(([window, strides, pad]): Case[] => {
  const how = `${window}, strides ${strides}, padding ${pad}`;
  const planar: Case[] = [
    [`maxPool ${how}`, [uniform([2, 8, 9, 3])], (x) => tf.maxPool(x, window, strides, pad), 9],
    [`maxPool ${how}, ties`, [images], (x) => tf.maxPool(x, window, strides, pad)],
    [`maxPool ${how}, below zero`, [negative(2, 8, 9, 3)], (x) => tf.maxPool(x, window, strides, pad)],
    [`avgPool ${how}`, [images], (x) => tf.avgPool(x, window, strides, pad), 18],
  ];
  if (typeof pad === 'number') return planar;
  return [
    ...planar,
    [`maxPool3d ${how}, below zero`, [negative(2, 4, 5, 6, 3)], (x) => tf.maxPool3d(x, window, strides, pad)],
    [`avgPool3d ${how}`, [volumes], (x) => tf.avgPool3d(x, window, strides, pad), 54],
  ];
});

const lookups: readonly Case[] = [
  ['gather of rows', [whole(6, 4), ids([3, 7], 0, 6)], (x, i) => tf.gather(x, i)],
  ['gather of numbers', [whole(6), ids([7], 0, 6)], (x, i) => tf.gather(x, i)],
  ['gather along another axis', [whole(3, 5, 4), ids([7], 0, 5)], (x, i) => tf.gather(x, i, 1)],
  ['unsortedSegmentSum', [whole(9, 3), ids([9], 0, 4)], (x, i) => tf.unsortedSegmentSum(x, i, 4)],
];

const l = (units: number): tf.Tensor => tf.oneHot(tf.tensor1d([1, 3, 2, 0, 5], 'int32'), units).toFloat();
const logits = uniform([5, 6], -3, 3);
const losses: readonly Case[] = [
  ['mean squared error', [logits], (x) => tf.losses.meanSquaredError(l(6), x), 60],
  ['absolute difference', [logits], (x) => tf.losses.absoluteDifference(l(6), x), 60],
  ['huber', [logits], (x) => tf.losses.huberLoss(l(6), x), 60],
  ['hinge', [logits], (x) => tf.losses.hingeLoss(l(6), x), 60],
  ['cosine distance', [logits], (x) => tf.losses.cosineDistance(l(6), x, 1), 60],
  ['log loss', [logits], (x: tf.Tensor) => tf.losses.logLoss(l(6), x.sigmoid()), 60],
  ['sigmoid cross-entropy', [logits], (x) => tf.losses.sigmoidCrossEntropy(l(6), x), 60],
  ['softmax cross-entropy', [logits], (x) => tf.losses.softmaxCrossEntropy(l(6), x), 60],
  ['binary cross-entropy', [logits], (x: tf.Tensor) => tf.metrics.binaryCrossentropy(l(6), x.sigmoid()), 60],
  ['categorical cross-entropy', [logits], (x: tf.Tensor) => tf.metrics.categoricalCrossentropy(l(6), x.softmax()), 60],
];

const matrix = uniform([5, 6], -4, 4);
const positive = uniform([5, 6], 0.5, 2);
const elementwise: readonly Case[] = [
  ...(
    ['relu', 'relu6', 'elu', 'selu', 'sigmoid', 'tanh', 'softplus', 'logSigmoid', 'softmax', 'logSoftmax'] as const
  ).map((name): Case => [name, [matrix], (x: tf.Tensor) => tf[name](x), 30]),
  ...(['exp', 'expm1', 'sin', 'cos', 'erf', 'abs', 'square', 'sinh', 'cosh', 'asinh', 'atan'] as const).map(
    (name): Case => [name, [matrix], (x: tf.Tensor) => tf[name](x), 20],
  ),
  ...(['log', 'log1p', 'sqrt', 'rsqrt', 'reciprocal'] as const).map((name): Case => [
    name,
    [positive],
    (x: tf.Tensor) => tf[name](x),
    20,
  ]),
  ...(['add', 'sub', 'mul', 'div', 'pow'] as const).flatMap((name): Case[] => [
    [name, [positive, uniform([5, 6], 0.5, 2)], (a: tf.Tensor, b: tf.Tensor) => tf[name](a, b), 20],
    [`${name} of a row`, [positive, uniform([6], 0.5, 2)], (a: tf.Tensor, b: tf.Tensor) => tf[name](a, b), 20],
    [`${name} of a column`, [positive, uniform([5, 1], 0.5, 2)], (a: tf.Tensor, b: tf.Tensor) => tf[name](a, b), 20],
  ]),
  ['maximum', [whole(5, 6), whole(5, 6)], (a, b) => tf.maximum(a, b)],
  ['minimum', [whole(5, 6), whole(5, 6)], (a, b) => tf.minimum(a, b)],
  ['squaredDifference', [whole(5, 6), whole(5, 6)], (a, b) => tf.squaredDifference(a, b)],
  ['leakyRelu', [matrix], (x) => tf.leakyRelu(x, 0.3), 10],
  ['prelu', [matrix, uniform([6])], (x, slope) => tf.prelu(x, slope), 10],
  ['clipByValue', [whole(5, 6)], (x: tf.Tensor) => x.clipByValue(-2, 2)],
  ['clipping by norm', [matrix], (x: tf.Tensor) => x.mul(tf.div(1, tf.norm(x))), 80],
  ['norm', [matrix], (x) => tf.norm(x), 40],
  ['norm of rows', [matrix], (x) => tf.norm(x, 2, 1), 20],
  ['dropout', [whole(5, 6)], (x) => tf.dropout(x, 0.5, undefined, 7)],
  ...(['sum', 'mean', 'max', 'min', 'logSumExp'] as const).flatMap((name): Case[] => [
    [name, [matrix], (x: tf.Tensor) => tf[name](x), 40],
    [`${name} of columns`, [matrix], (x: tf.Tensor) => tf[name](x, 0), 20],
    [`${name} of rows`, [matrix], (x: tf.Tensor) => tf[name](x, 1), 20],
  ]),
];

const normalizations: readonly Case[] = [
  [
    'batch normalization',
    [uniform([5, 4, 4, 3]), uniform([3]), uniform([3], 0.5, 2)],
    (x: tf.Tensor4D, offset, scale) => {
      const { mean, variance } = tf.moments(x, [0, 1, 2]);
      return tf.batchNorm(x, mean as tf.Tensor1D, variance as tf.Tensor1D, offset, scale, 1e-3);
    },
    400,
  ],
  [
    'batch normalization with running statistics',
    [uniform([5, 4, 4, 3]), uniform([3]), uniform([3], 0.5, 2), uniform([3]), uniform([3], 0.5, 2)],
    (x, mean, variance, offset, scale) => tf.batchNorm(x, mean, variance, offset, scale, 1e-3),
    200,
  ],
  ['local response normalization', [uniform([2, 4, 5, 6])], (x) => tf.localResponseNormalization(x, 2), 40],
];

const rearrangements: readonly Case[] = [
  ['matMul', [whole(5, 7), whole(7, 4)], (a, b) => tf.matMul(a, b)],
  ['matMul of batches, transposed', [whole(3, 7, 5), whole(3, 4, 7)], (a, b) => tf.matMul(a, b, true, true)],
  ['pad', [whole(3, 4)], (x: tf.Tensor) => tf.pad(x, [[1, 2], [0, 3]])], // prettier-ignore
  ['mirrorPad', [whole(3, 4)], (x: tf.Tensor) => tf.mirrorPad(x, [[1, 2], [0, 3]], 'reflect')], // prettier-ignore
  ['slice', [whole(3, 4, 5)], (x: tf.Tensor) => tf.slice(x, [1, 0, 2], [2, 3, 2])],
  ['cumsum', [whole(5, 6)], (x: tf.Tensor) => tf.cumsum(x, 1)],
  ['cumsum, exclusive and reversed', [whole(5, 6)], (x: tf.Tensor) => tf.cumsum(x, 1, true, true)],
  ['transpose', [whole(3, 2, 2, 3, 2)], (x: tf.Tensor) => tf.transpose(x, [4, 2, 0, 1, 3])],
  ['reverse', [whole(3, 4, 5)], (x: tf.Tensor) => tf.reverse(x, [0, 2])],
  ['tile', [whole(3, 4)], (x: tf.Tensor) => tf.tile(x, [2, 3])],
  ['concat', [whole(3, 4), whole(3, 2)], (a, b) => tf.concat([a, b], 1)],
  ['stack', [whole(3, 4), whole(3, 4)], (a, b) => tf.stack([a, b], 1)],
  ['split', [whole(3, 6)], (x: tf.Tensor) => tf.add(...(tf.split(x, 2, 1) as [tf.Tensor, tf.Tensor]))],
  ['spaceToBatchND', [whole(2, 4, 6, 2)], (x) => tf.spaceToBatchND(x, [2, 2], [[0, 0], [1, 1]])], // prettier-ignore
  ['batchToSpaceND', [whole(8, 2, 3, 2)], (x) => tf.batchToSpaceND(x, [2, 2], [[0, 1], [1, 0]])], // prettier-ignore
  ['resizeBilinear', [uniform([2, 4, 4, 3])], (x) => tf.image.resizeBilinear(x, [7, 10]), 40],
  ['resizeNearestNeighbor', [whole(1, 4, 5, 3)], (x) => tf.image.resizeNearestNeighbor(x, [8, 10])],
];

const cases: readonly Case[] = [
  ...convolutions,
  ['conv1d', [whole(2, 8, 3), whole(3, 3, 4)], (x, w) => tf.conv1d(x, w, 2, 'same')],
  ['conv2d, strides that leave columns over', [images, whole(3, 2, 3, 4)], (x, w) => tf.conv2d(x, w, 3, 'same')],
  [
    'depthwise, strides that leave columns over',
    [images, whole(3, 2, 3, 2)],
    (x, w) => tf.depthwiseConv2d(x, w, 3, 'same'),
  ],
  [
    'fused, strides that leave columns over',
    [images, whole(3, 2, 3, 4), whole(4)],
    (x, filter, bias) => tf.fused.conv2d({ x, filter, bias, strides: 3, pad: 'same' }),
  ],
  ['conv2d, padding a number', [images, whole(3, 3, 3, 4)], (x, w) => tf.conv2d(x, w, 1, 1)],
  ['depthwise, padding a number', [images, whole(1, 1, 3, 2)], (x, w) => tf.depthwiseConv2d(x, w, 2, 2)],
  ['separable', [images, whole(3, 2, 3, 2), whole(1, 1, 6, 4)], (x, d, p) => tf.separableConv2d(x, d, p, 2, 'same')],
  [
    'conv2dTranspose',
    [whole(2, 4, 5, 3), whole(3, 2, 4, 3)],
    (x, w) => tf.conv2dTranspose(x, w, [2, 8, 10, 4], 2, 'same'),
  ],
  ...convolutions3d,
  ...pools,
  ...lookups,
  ...losses,
  ...elementwise,
  ...normalizations,
  ...rearrangements,
];

describe('gradients on wasm equal those on cpu', () => {
  for (const [name, inputs, f, roundings = 0] of cases) {
    it(name, async () => {
      expectEqual(await differentiate('wasm', inputs, f), await differentiate('cpu', inputs, f), roundings);
    });
  }
});

type LayerCase = readonly [name: string, make: () => tf.layers.Layer, input: Input, roundings: number];
const steps = uniform([2, 5, 3]);
const pictures = uniform([2, 6, 6, 3]);
const layers: readonly LayerCase[] = [
  ['dense', () => tf.layers.dense({ units: 4, activation: 'tanh', inputShape: [6] }), matrix, 30],
  ['embedding', () => tf.layers.embedding({ inputDim: 7, outputDim: 3, inputShape: [4] }), ids([5, 4], 0, 7), 20],
  ['lstm', () => tf.layers.lstm({ units: 4, inputShape: [5, 3] }), steps, 200],
  ['gru', () => tf.layers.gru({ units: 4, inputShape: [5, 3] }), steps, 200],
  ['simpleRNN', () => tf.layers.simpleRNN({ units: 4, inputShape: [5, 3] }), steps, 100],
  [
    'bidirectional',
    () => tf.layers.bidirectional({ layer: tf.layers.gru({ units: 2 }), mergeMode: 'concat', inputShape: [5, 3] }),
    steps,
    200,
  ],
  ['conv1d', () => tf.layers.conv1d({ filters: 2, kernelSize: 3, activation: 'relu', inputShape: [5, 3] }), steps, 50],
  [
    'conv2d',
    () => tf.layers.conv2d({ filters: 4, kernelSize: 3, strides: 2, activation: 'elu', inputShape: [6, 6, 3] }),
    pictures,
    100,
  ],
  [
    'separableConv2d',
    () => tf.layers.separableConv2d({ filters: 4, kernelSize: 3, padding: 'same', inputShape: [6, 6, 3] }),
    pictures,
    150,
  ],
  ['depthwiseConv2d', () => tf.layers.depthwiseConv2d({ kernelSize: 3, inputShape: [6, 6, 3] }), pictures, 100],
  [
    'conv2dTranspose',
    () => tf.layers.conv2dTranspose({ filters: 2, kernelSize: 3, strides: 2, inputShape: [6, 6, 3] }),
    pictures,
    200,
  ],
  [
    'convLstm2d',
    () => tf.layers.convLstm2d({ filters: 2, kernelSize: 3, padding: 'same', inputShape: [3, 4, 4, 2] }),
    uniform([2, 3, 4, 4, 2]),
    400,
  ],
  ['maxPooling2d', () => tf.layers.maxPooling2d({ poolSize: 2, inputShape: [6, 6, 3] }), negative(2, 6, 6, 3), 1],
  ['averagePooling2d', () => tf.layers.averagePooling2d({ poolSize: 2, inputShape: [6, 6, 3] }), pictures, 4],
  ['globalAveragePooling2d', () => tf.layers.globalAveragePooling2d({ inputShape: [6, 6, 3] }), pictures, 40],
  ['globalMaxPooling2d', () => tf.layers.globalMaxPooling2d({ inputShape: [6, 6, 3] }), pictures, 1],
  ['batchNormalization', () => tf.layers.batchNormalization({ inputShape: [6, 6, 3] }), pictures, 300],
  ['layerNormalization', () => tf.layers.layerNormalization({ inputShape: [6] }), matrix, 60],
  ['upSampling2d', () => tf.layers.upSampling2d({ size: [2, 2], interpolation: 'bilinear', inputShape: [6, 6, 3] }), pictures, 20], // prettier-ignore
  ['prelu', () => tf.layers.prelu({ inputShape: [6] }), matrix, 10],
  ['zeroPadding2d', () => tf.layers.zeroPadding2d({ inputShape: [6, 6, 3] }), pictures, 1],
  ['repeatVector', () => tf.layers.repeatVector({ n: 3, inputShape: [6] }), matrix, 3],
];

/** A layer's output, and the gradients of its weighted sum with respect to its trainable weights and its input. */
async function differentiateLayer(
  backend: string,
  makeLayer: () => tf.layers.Layer,
  input: Input,
): Promise<Float32Array[]> {
  await tf.setBackend(backend);
  state = 7;
  const model = tf.sequential({ layers: [makeLayer()] });
  for (const weight of model.trainableWeights) {
    const value = make(uniform(weight.shape as number[], -0.5, 0.5));
    weight.write(value);
    value.dispose();
  }
  const x = input.values instanceof Int32Array ? make(input) : tf.variable(make(input));
  const apply = (): tf.Tensor => model.apply(x, { training: true }) as tf.Tensor;
  const output = tf.tidy(apply);
  const { value, grads } = tf.variableGrads(() => apply().mul(weights(output.shape)).sum());
  const results = [output, ...Object.values(grads)].map((tensor) => tensor.dataSync<'float32'>());
  tf.dispose([x, output, value, grads]);
  model.dispose();
  return results;
}

describe('gradients of layers on wasm equal those on cpu', () => {
  it.each(layers)('%s', async (_name, makeLayer, input, roundings) => {
    const actual = await differentiateLayer('wasm', makeLayer, input);
    expectEqual(actual, await differentiateLayer('cpu', makeLayer, input), roundings);
  });
});

// The cpu backend (4.22) is no reference here: its gradients are wrong for more than one image (nearest), for images that
// are not square (bilinear) and for half-pixel centers. Resizing is linear, so the gradient is Fᵀ · ∂Y with the matrix F
// that resizing makes of the identity; forward, cpu is right.
describe('gradients of resizing on wasm are its transpose', () => {
  const resizings = [tf.image.resizeBilinear, tf.image.resizeNearestNeighbor] as const;
  const sizes: [number, number][] = [[8, 10], [4, 5], [3, 2], [7, 11], [1, 1]]; // prettier-ignore
  const modes = [[false, false], [true, false], [false, true]] as const; // prettier-ignore
  it.each(
    resizings.flatMap((resize, i) =>
      sizes.flatMap((to) =>
        modes.map(
          ([alignCorners, halfPixels]) =>
            [['bilinear', 'nearest'][i], to, { alignCorners, halfPixels }, resize] as const,
        ),
      ),
    ),
  )('%s to %j, %j', async (_name, to, { alignCorners, halfPixels }, resize) => {
    const [batch, height, width, channels] = [2, 4, 5, 3];
    const images = uniform([batch, height, width, channels]);
    const f = (x: tf.Tensor4D): tf.Tensor => resize(x, to, alignCorners, halfPixels);
    const [, actual] = await differentiate('wasm', [images], f);
    await tf.setBackend('cpu');
    const expected = tf.tidy(() => {
      const identity: tf.Tensor4D = tf.eye(height * width).reshape([height * width, height, width, 1]);
      const dy = weights([batch, ...to, channels]).reshape([batch, to[0] * to[1], channels]);
      const matrix = f(identity).reshape([1, height * width, to[0] * to[1]]);
      return tf.matMul(matrix.tile([batch, 1, 1]), dy).dataSync<'float32'>();
    });
    // Sums of as many products as there are pixels in the result, of weights rounded once in each direction.
    expectEqual([actual], [expected], to[0] * to[1] + 2);
  });
});
