import * as tf from '@tensorflow/tfjs';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ScalarTensors } from './scalar-tensors.js';

let scalars: ScalarTensors;
let before: number;
beforeEach(async () => {
  await tf.setBackend('cpu');
  before = tf.memory().numTensors;
  scalars = new ScalarTensors();
});
afterEach(() => {
  scalars.dispose();
  expect(tf.memory().numTensors).toBe(before);
});

it('makes a tensor of a number, rounded to float32, that tidy leaves alone', () => {
  const tensor = tf.tidy(() => scalars.get(0.1));
  expect(tensor.shape).toEqual([]);
  expect(tensor.dataSync()[0]).toBe(Math.fround(0.1));
});

it('gives the same tensor for the same number, in one step and the next', () => {
  const tensor = scalars.get(0.1);
  expect(scalars.get(0.1)).toBe(tensor);
  scalars.endStep();
  expect(scalars.get(0.1)).toBe(tensor);
});

it('frees a number that a step has not used', () => {
  const [used, unused] = [scalars.get(1), scalars.get(2)];
  scalars.endStep();
  scalars.get(1);
  expect(unused.isDisposed).toBe(false);
  scalars.endStep();
  expect([used.isDisposed, unused.isDisposed]).toEqual([false, true]);
});

it('tells 0 from −0, and knows NaN', () => {
  expect([0, -0, NaN].map((x) => 1 / scalars.get(x).dataSync()[0])).toEqual([Infinity, -Infinity, NaN]);
  expect(scalars.get(NaN)).toBe(scalars.get(NaN));
});
