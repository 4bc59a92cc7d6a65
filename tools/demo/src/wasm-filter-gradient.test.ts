import '@tensorflow/tfjs-backend-cpu';
import '@tensorflow/tfjs-backend-wasm';
import '@tensorflow/tfjs-layers'; // registers the gradients of tfjs-core
import { conv2d, grad, memory, setBackend, square, sum, tensor4d, tidy, type Tensor4D } from '@tensorflow/tfjs-core';
import { expect, test } from 'vitest';
import { xorshift32 } from './random.js';
import { registerWasmFilterGradient } from './wasm-filter-gradient.js';

type Shape = [number, number, number, number];
interface Example {
  readonly name: string;
  readonly x: Shape;
  readonly filter: Shape;
  readonly strides: number | [number, number];
  readonly pad: 'same' | 'valid' | number;
}

const examples: readonly Example[] = [
  { name: 'same padding', x: [2, 6, 5, 3], filter: [3, 3, 3, 4], strides: 1, pad: 'same' },
  { name: 'valid padding', x: [3, 6, 7, 2], filter: [2, 3, 2, 5], strides: 1, pad: 'valid' },
  { name: 'a stride', x: [2, 8, 9, 2], filter: [3, 3, 2, 3], strides: [2, 3], pad: 'same' },
  { name: 'a stride that leaves rows over', x: [2, 8, 8, 1], filter: [3, 3, 1, 2], strides: 2, pad: 'valid' },
  { name: 'a numeric padding', x: [1, 5, 5, 2], filter: [3, 3, 2, 2], strides: 1, pad: 1 },
];

/** The gradient of Σ conv2d(x, filter)² with respect to the filter, on a backend. */
async function gradientOn(backend: string, { x, filter, strides, pad }: Example): Promise<Float32Array> {
  await setBackend(backend);
  const random = xorshift32(1);
  const uniform = (shape: Shape): Tensor4D => {
    const values = { length: shape.reduce((a, b) => a * b) };
    return tensor4d(
      Float32Array.from(values, () => 2 * random() - 1),
      shape,
    );
  };
  const [images, weights] = [uniform(x), uniform(filter)];
  const before = memory().numTensors;
  const gradient = tidy(() => grad((w) => sum(square(conv2d(images, w as Tensor4D, strides, pad))))(weights));
  expect(memory().numTensors).toBe(before + 1);
  expect(gradient.shape).toEqual(filter);
  return gradient.data<'float32'>();
}

test.each(examples)('the gradient of a convolution with $name equals that of the cpu backend', async (example) => {
  registerWasmFilterGradient();
  const expected = await gradientOn('cpu', example);
  const actual = await gradientOn('wasm', example);
  // Sums of at most 120 products, in float32 and in different orders: 120 · 2^-24 = 7e-6 of the sum of magnitudes,
  // which is below ten times the largest gradient.
  const largest = Math.max(...expected.map(Math.abs));
  expect(largest).toBeGreaterThan(1);
  expected.forEach((value, i) => {
    expect(Math.abs(actual[i] - value)).toBeLessThan(7e-5 * largest);
  });
});
