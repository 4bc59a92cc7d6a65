import { castTensor, elementCount, filled, tensor64, type NamedTensors } from '@adakit/core';
import { describe, expect, test } from 'vitest';
import type { DigitBatch } from './mnist.js';
import { lossAndGradients } from './reference-cnn.js';

const shapes = {
  'conv1.weight': [8, 1, 5, 5],
  'conv1.bias': [8],
  'conv2.weight': [32, 8, 3, 3],
  'conv2.bias': [32],
  'fc.weight': [10, 1152],
  'fc.bias': [10],
};

/** Marsaglia's xorshift32 ("Xorshift RNGs", Journal of Statistical Software 8(14), 2003; shifts 13, 17, 5), in [0, 1). */
function xorshift32(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

/** Uniform in ±1/√(inputs of a neuron), which keeps activations around 1. */
function randomParameters(seed: number): NamedTensors {
  const random = xorshift32(seed);
  return Object.fromEntries(
    Object.entries(shapes).map(([name, shape]) => {
      const scale = Math.sqrt(shape[0] / elementCount(shape));
      return [
        name,
        tensor64(
          Float64Array.from({ length: elementCount(shape) }, () => (2 * random() - 1) * scale),
          shape,
        ),
      ];
    }),
  );
}

function randomBatch(seed: number, size: number): DigitBatch {
  const random = xorshift32(seed);
  const images = Float32Array.from({ length: size * 28 * 28 }, random);
  return { size, images, labels: Uint8Array.from({ length: size }, () => Math.floor(10 * random())) };
}

describe('the reference network', () => {
  const parameters = randomParameters(1);
  const batch = randomBatch(2, 3);
  const { loss, gradients } = lossAndGradients(parameters, batch);

  test.each(Object.keys(shapes))('has the gradient of %s that central differences give', (name) => {
    const { data } = parameters[name];
    const random = xorshift32(3);
    const indices =
      data.length <= 32 ? data.keys() : Array.from({ length: 24 }, () => Math.floor(random() * data.length));
    // Central differences err by about h²·f‴/6 and ε·f/h: for f, f‴ around 1 both are below 1e-9 at h = 1e-5.
    const h = 1e-5;
    for (const index of indices) {
      const at = (delta: number): number => {
        const shifted = castTensor(parameters[name], 'float64');
        shifted.data[index] += delta;
        return lossAndGradients({ ...parameters, [name]: shifted }, batch).loss;
      };
      expect(gradients[name].data[index]).toBeCloseTo((at(h) - at(-h)) / (2 * h), 8);
    }
  });

  test('knows how far relu and max are from deciding otherwise', () => {
    const { margin } = lossAndGradients(parameters, batch);
    // Of 3 · (8 · 12² + 32 · 6²) squares of values around 1, the closest decision is about 1/6912 away; the differences
    // above are good because it is farther than h.
    expect(margin).toBeGreaterThan(1e-5);
    expect(margin).toBeLessThan(1e-2);
    const silent = { ...parameters, 'conv2.bias': filled('float64', [32], -100) };
    const nearlySilent = { ...silent, 'conv2.weight': filled('float64', shapes['conv2.weight'], 0) };
    nearlySilent['conv2.bias'].data[7] = -1e-7;
    expect(lossAndGradients(nearlySilent, batch).margin).toBeCloseTo(1e-7, 12);
  });

  test('leaves the parameters alone and averages over the batch', () => {
    expect(parameters).toEqual(randomParameters(1));
    const twice = {
      size: 6,
      images: Float32Array.from([...batch.images, ...batch.images]),
      labels: Uint8Array.from([...batch.labels, ...batch.labels]),
    };
    expect(lossAndGradients(parameters, twice).loss).toBeCloseTo(loss, 12);
  });

  test('sends the gradient of equal maxima to the first', () => {
    // Without weights conv1 puts out its bias everywhere, so all four values of a pooling square are equal. The image is
    // 1 (standardized) where rows and columns are both even and 0 elsewhere. The winner's 5×5 window begins at its own
    // place, so if it is the first of its square, at an even row and column, the window has the 1s where i and j are even.
    const tied = {
      ...parameters,
      'conv1.weight': filled('float64', shapes['conv1.weight'], 0),
      'conv1.bias': filled('float64', shapes['conv1.bias'], 1),
    };
    const even = (i: number): boolean => i % 2 === 0 && Math.floor(i / 28) % 2 === 0;
    const images = Float32Array.from({ length: 28 * 28 }, (_, i) => (even(i) ? 1 / 3.25 : 0) + 0.125);
    const { gradients } = lossAndGradients(tied, { size: 1, images, labels: Uint8Array.of(3) });
    for (let o = 0; o < 8; o++) {
      const sum = gradients['conv1.bias'].data[o];
      expect(Math.abs(sum)).toBeGreaterThan(1e-3);
      for (let tap = 0; tap < 25; tap++) {
        const expected = (tap % 5) % 2 === 0 && Math.floor(tap / 5) % 2 === 0 ? sum : 0;
        // The pixels are float32: off by 1e-7.
        expect(gradients['conv1.weight'].data[25 * o + tap]).toBeCloseTo(expected, 6);
      }
    }
  });
});
