import { Run, tensor32, type NamedTensors } from '@adakit/core';
import { soap } from '@adakit/soap';
import { ExpectedTraining } from '@adakit/testing';
import { expect, it } from 'vitest';
import { onnxDevice } from './index.js';

const shape = [4, 3];
const numbers = (seed: number): NamedTensors => ({
  w: tensor32(
    Float32Array.from({ length: 12 }, (_, i) => Math.fround(Math.sin(12.9 * (i + 1) + 78.2 * seed))),
    shape,
  ),
});

/** The largest element of QᵀQ − I. */
function distanceFromOrthonormal(q: readonly number[], n: number): number {
  const products = Array.from({ length: n * n }, (_, k) => {
    const [i, j] = [Math.floor(k / n), k % n];
    const product = Array.from({ length: n }, (__, row) => q[row * n + i] * q[row * n + j]).reduce((x, y) => x + y, 0);
    return Math.abs(product - Number(i === j));
  });
  return Math.max(...products);
}

it('a graph makes a basis when it is due, within the bounds of its own operations', async () => {
  const device = onnxDevice();
  const optimizer = soap({ lr: 0.1, every: 2, weightDecay: 0 });
  const run = Run.start(device, optimizer, numbers(0));
  const expected = new ExpectedTraining('float32', optimizer, numbers(0), numbers);
  let before: unknown;
  for (let step = 1; step <= 5; step++) {
    await run.applyGradients(numbers(step));
    const state = await run.state();
    await expected.compare('onnx', step, state, {});
    const { slots } = state.parameters.w;
    // Reflections and rotations leave so many roundings in each vector: see factor-bound.ts of @adakit/testing.
    expect(distanceFromOrthonormal([...slots.leftBasis.data], 4)).toBeLessThan(2 * 475 * 2 ** -24);
    // Steps 1, 3 and 5 end with another basis.
    if (step % 2 === 1) expect(slots.leftBasis).not.toEqual(before);
    else expect(slots.leftBasis).toEqual(before);
    before = slots.leftBasis;
  }
  await run.dispose();
  await device.release();
});
