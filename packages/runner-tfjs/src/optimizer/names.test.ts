import { adam } from '@adakit/adam';
import * as tf from '@tensorflow/tfjs';
import { afterEach, beforeAll, expect, it } from 'vitest';
import { startBackend, tfjsOptimizer } from '../index.js';

beforeAll(() => startBackend('cpu'));
afterEach(() => {
  tf.disposeVariables();
});

// A name that is a number comes first in any object.
const odd = [
  '0',
  'a b',
  'a/b',
  '/',
  'x'.repeat(3000),
  'ünï ☃ 😀',
  'a\n\tb\0',
  '"q"\\',
  ' ',
  'w_1',
  'iterations',
  'length',
];

it('variables may have any names that TensorFlow.js takes: they train, and go on from states and weights', async () => {
  const variables = odd.map((name, i) => tf.variable(tf.tensor1d([i + 1, 2]), true, name));
  const loss = (): tf.Scalar => tf.addN(variables.map((w) => w.square().sum())).asScalar();
  const values = (): number[][] => variables.map((w) => [...w.dataSync()]);
  const first = tfjsOptimizer(adam({ lr: 0.5 }));
  first.minimize(loss);
  const state = await first.state();
  expect(Object.keys(state.parameters)).toEqual(odd);
  const weights = await first.getWeights();
  const copies = weights.map(({ name, tensor }) => ({ name, tensor: tensor.clone() }));
  const before = values();
  first.minimize(loss, false, variables);
  const uninterrupted = values();

  const fromState = tfjsOptimizer(adam({ lr: 0.5 }));
  await fromState.load(state);
  expect(values()).toEqual(before);
  fromState.minimize(loss);
  expect(values()).toEqual(uninterrupted);

  const fromWeights = tfjsOptimizer(adam({ lr: 0.5 }));
  variables.forEach((w, i) => {
    w.assign(tf.tensor1d(before[i]));
  });
  await fromWeights.setWeights(copies);
  fromWeights.minimize(loss);
  expect(values()).toEqual(uninterrupted);
});

it.each(['__proto__', 'constructor', 'toString', 'hasOwnProperty'])(
  'a variable cannot be called "%s", and what is said of one is refused',
  (name) => {
    // TensorFlow.js keeps variables in a plain object.
    expect(() => tf.variable(tf.tensor1d([1]), true, name)).toThrow('already registered');
    tf.variable(tf.tensor1d([1]), true, 'w');
    const optimizer = tfjsOptimizer(adam());
    expect(() => {
      optimizer.applyGradients(Object.fromEntries([[name, tf.tensor1d([1])]]));
    }).toThrow(`gradient for "${name}", but there is no such variable`);
  },
);

it.each(['__proto__', 'constructor'])('a parameter "%s" of a state is not taken for something else', async (name) => {
  const w = tf.variable(tf.tensor1d([1, 2]), true, 'w');
  const optimizer = tfjsOptimizer(adam());
  optimizer.minimize(() => w.square().sum().asScalar());
  const { parameters, ...rest } = await optimizer.state();
  const renamed = { ...rest, parameters: { ...parameters, ...Object.fromEntries([[name, parameters.w]]) } };
  await expect(optimizer.load(renamed)).rejects.toThrow(`"${name}"`);
  expect([...w.dataSync()]).toEqual([...parameters.w.value.data]);
});
