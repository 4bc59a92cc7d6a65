import { filled, type FloatArray, type NamedTensors } from '@adakit/core';
import { classes, side, type DigitBatch } from './mnist.js';

export interface LossAndGradients {
  readonly loss: number;
  readonly gradients: NamedTensors;
  /**
   * By how much an activation would have to change for relu or max pooling to decide otherwise, which makes the gradient
   * jump; the smallest such change in the batch. Exactly equal values are not counted: they come from equal pixels, and
   * whichever of them wins, the gradient is the same.
   */
  readonly margin: number;
}

/**
 * The network of mnist-cnn.onnx once more, with its gradients, in plain float64 loops: slow, and independent of every
 * runtime, which makes it the judge of their results.
 *
 * ```text
 * image 1×28×28 → (image − 0.125) · 3.25
 *               → conv1 5×5 to 8 channels, 24×24 → relu → max pool 2×2
 *               → conv2 3×3 to 32 channels, padding 1, 12×12 → relu → max pool 2×2
 *               → fc 32·6·6 to 10 → logits z
 * loss = mean over the batch of log Σₖ exp(zₖ) − z[label]
 * ```
 *
 * @param parameters float64, by the names and in the layouts of the ONNX file: `conv1.weight` [8, 1, 5, 5], `conv1.bias`
 * [8], `conv2.weight` [32, 8, 3, 3], `conv2.bias` [32], `fc.weight` [10, 1152], `fc.bias` [10]
 */
export function lossAndGradients(parameters: NamedTensors, { size, images, labels }: DigitBatch): LossAndGradients {
  const gradients = Object.fromEntries(
    Object.entries(parameters).map(([name, { shape }]) => [name, filled('float64', shape, 0)]),
  );
  const layer = (name: string): Layer => ({
    weight: parameters[`${name}.weight`].data,
    bias: parameters[`${name}.bias`].data,
    weightGradient: gradients[`${name}.weight`].data,
    biasGradient: gradients[`${name}.bias`].data,
  });
  const conv1 = { ...layer('conv1'), channels: 1, outputs: 8, kernel: 5, padding: 0 };
  const conv2 = { ...layer('conv2'), channels: 8, outputs: 32, kernel: 3, padding: 1 };
  const fc = layer('fc');

  let loss = 0;
  let margin = Infinity;
  for (let n = 0; n < size; n++) {
    const pixels = images.subarray(n * side * side, (n + 1) * side * side);
    const x = { size: side, data: Float64Array.from(pixels, (pixel) => (pixel - 0.125) * 3.25) };

    const z1 = convolve(x, conv1);
    const [h1, winners1] = maxPool(relu(z1), conv1.outputs);
    const z2 = convolve(h1, conv2);
    const [h2, winners2] = maxPool(relu(z2), conv2.outputs);
    const logits = affine(h2.data, fc);

    margin = Math.min(margin, decisionMargin(z1, conv1.outputs), decisionMargin(z2, conv2.outputs));
    const { value, gradient } = crossEntropy(logits, labels[n]);
    loss += value / size;
    const dLogits = gradient.map((g) => g / size);

    const dH2 = affineBackward(h2.data, fc, dLogits);
    const dZ2 = reluBackward(z2, maxPoolBackward(z2, winners2, dH2));
    const dH1 = convolveBackward(h1, conv2, dZ2);
    const dZ1 = reluBackward(z1, maxPoolBackward(z1, winners1, dH1));
    convolveBackward(x, conv1, dZ1);
  }
  return { loss, gradients, margin };
}

/** Weights of a layer and the gradients being summed up. */
interface Layer {
  readonly weight: FloatArray;
  readonly bias: FloatArray;
  readonly weightGradient: FloatArray;
  readonly biasGradient: FloatArray;
}

interface Convolution extends Layer {
  readonly channels: number;
  readonly outputs: number;
  readonly kernel: number;
  /** Zeros around the input. */
  readonly padding: number;
}

/** Square feature maps of shape [channels, size, size]. */
interface FeatureMaps {
  readonly size: number;
  readonly data: Float64Array;
}

/** Y[o, y, x] = b[o] + Σ W[o, c, i, j] · X[c, y + i, x + j] over c, i, j, with X padded. */
function convolve(input: FeatureMaps, convolution: Convolution): FeatureMaps {
  const { weight, bias, outputs, kernel } = convolution;
  const padded = pad(input, convolution);
  const size = padded.size - kernel + 1;
  const data = new Float64Array(outputs * size * size);
  for (let o = 0; o < outputs; o++) data.fill(bias[o], o * size * size, (o + 1) * size * size);
  for (const { w, from, to } of taps(convolution, padded.size)) {
    const tap = weight[w];
    for (let y = 0; y < size; y++) {
      for (let x = 0; x < size; x++) data[to + y * size + x] += tap * padded.data[from + y * padded.size + x];
    }
  }
  return { size, data };
}

/** ∂W[o, c, i, j] = Σ ∂Y[o, y, x] · X[c, y + i, x + j] over y, x, and ∂b likewise; returns ∂X. */
function convolveBackward(input: FeatureMaps, convolution: Convolution, dY: Float64Array): Float64Array {
  const { weight, weightGradient, biasGradient, kernel } = convolution;
  const padded = pad(input, convolution);
  const size = padded.size - kernel + 1;
  const dPadded = new Float64Array(padded.data.length);
  for (let i = 0; i < dY.length; i++) biasGradient[Math.floor(i / (size * size))] += dY[i];
  for (const { w, from, to } of taps(convolution, padded.size)) {
    const tap = weight[w];
    let sum = 0;
    for (let y = 0; y < size; y++) {
      for (let x = 0; x < size; x++) {
        const dy = dY[to + y * size + x];
        sum += dy * padded.data[from + y * padded.size + x];
        dPadded[from + y * padded.size + x] += tap * dy;
      }
    }
    weightGradient[w] += sum;
  }
  return unpad({ size: padded.size, data: dPadded }, convolution);
}

/**
 * The weights of a convolution: the index of each, where in the padded input the square of values begins that it
 * multiplies, and where in the output the square that receives the products.
 */
function* taps(
  { channels, outputs, kernel }: Convolution,
  paddedSize: number,
): Generator<{ w: number; from: number; to: number }> {
  const size = paddedSize - kernel + 1;
  let w = 0;
  for (let o = 0; o < outputs; o++)
    for (let c = 0; c < channels; c++)
      for (let i = 0; i < kernel; i++)
        for (let j = 0; j < kernel; j++)
          yield { w: w++, from: (c * paddedSize + i) * paddedSize + j, to: o * size * size };
}

function pad({ size, data }: FeatureMaps, { channels, padding }: Convolution): FeatureMaps {
  const paddedSize = size + 2 * padding;
  const padded = new Float64Array(channels * paddedSize ** 2);
  for (let row = 0; row < channels * size; row++) {
    padded.set(data.subarray(row * size, (row + 1) * size), paddedRow(row, size, padding));
  }
  return { size: paddedSize, data: padded };
}

/** Undoes {@link pad}. */
function unpad(padded: FeatureMaps, { channels, padding }: Convolution): Float64Array {
  const size = padded.size - 2 * padding;
  const data = new Float64Array(channels * size * size);
  for (let row = 0; row < channels * size; row++) {
    const start = paddedRow(row, size, padding);
    data.set(padded.data.subarray(start, start + size), row * size);
  }
  return data;
}

/** Where row `row` of all channels' rows begins between the padding. */
function paddedRow(row: number, size: number, padding: number): number {
  const paddedSize = size + 2 * padding;
  const [channel, y] = [Math.floor(row / size), row % size];
  return (channel * paddedSize + y + padding) * paddedSize + padding;
}

/** max(x, 0) */
function relu({ size, data }: FeatureMaps): FeatureMaps {
  return { size, data: data.map((x) => Math.max(x, 0)) };
}

/** ∂X = ∂Y where x > 0, otherwise 0. */
function reluBackward({ data }: FeatureMaps, dY: Float64Array): Float64Array {
  return dY.map((dy, i) => (data[i] > 0 ? dy : 0));
}

/** The largest of every 2×2 square, and where in the input it was: of equal ones, the first. */
function maxPool({ size, data }: FeatureMaps, channels: number): [FeatureMaps, winners: Uint32Array] {
  const half = size / 2;
  const winners = new Uint32Array(channels * half * half);
  for (let i = 0; i < winners.length; i++) {
    const [first, ...others] = poolingSquare(i, size);
    winners[i] = others.reduce((best, candidate) => (data[candidate] > data[best] ? candidate : best), first);
  }
  return [{ size: half, data: Float64Array.from(winners, (winner) => data[winner]) }, winners];
}

/** The places in feature maps of `size` that element `i` of the pooled maps looks at. */
function poolingSquare(i: number, size: number): [number, number, number, number] {
  const half = size / 2;
  const corner = 2 * Math.floor(i / half) * size + 2 * (i % half);
  return [corner, corner + 1, corner + size, corner + size + 1];
}

/** How far relu followed by max pooling is from deciding otherwise: see {@link LossAndGradients.margin}. */
function decisionMargin({ size, data }: FeatureMaps, channels: number): number {
  let margin = Infinity;
  for (let i = 0; i < channels * (size / 2) ** 2; i++) {
    const [largest, second] = poolingSquare(i, size)
      .map((place) => data[place])
      .sort((a, b) => b - a);
    margin = Math.min(margin, Math.abs(largest));
    if (largest > 0 && largest !== second) margin = Math.min(margin, largest - second);
  }
  return margin;
}

/** ∂X = ∂Y at the winners, 0 elsewhere. */
function maxPoolBackward({ data }: FeatureMaps, winners: Uint32Array, dY: Float64Array): Float64Array {
  const dX = new Float64Array(data.length);
  winners.forEach((winner, i) => {
    dX[winner] += dY[i];
  });
  return dX;
}

/** z[k] = b[k] + Σ W[k, i] · h[i] over i */
function affine(h: Float64Array, { weight, bias }: Layer): Float64Array {
  const z = Float64Array.from(bias);
  for (let k = 0; k < classes; k++) for (let i = 0; i < h.length; i++) z[k] += weight[k * h.length + i] * h[i];
  return z;
}

/** ∂W[k, i] = ∂z[k] · h[i], ∂b = ∂z; returns ∂h[i] = Σ W[k, i] · ∂z[k] over k. */
function affineBackward(h: Float64Array, layer: Layer, dZ: Float64Array): Float64Array {
  const { weight, weightGradient, biasGradient } = layer;
  const dH = new Float64Array(h.length);
  dZ.forEach((dz, k) => {
    biasGradient[k] += dz;
    for (let i = 0; i < h.length; i++) {
      weightGradient[k * h.length + i] += dz * h[i];
      dH[i] += weight[k * h.length + i] * dz;
    }
  });
  return dH;
}

/** log Σₖ exp(zₖ) − z[label], and its gradient softmax(z) − [k = label]; the maximum is subtracted against overflow. */
function crossEntropy(z: Float64Array, label: number): { value: number; gradient: Float64Array } {
  const max = z.reduce((a, b) => Math.max(a, b));
  const exponentials = z.map((value) => Math.exp(value - max));
  const sum = exponentials.reduce((a, b) => a + b);
  return {
    value: Math.log(sum) + max - z[label],
    gradient: exponentials.map((e, k) => e / sum - (k === label ? 1 : 0)),
  };
}
