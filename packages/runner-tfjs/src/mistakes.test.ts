import { adam } from '@adakit/adam';
import { AdakitError, ema, groups } from '@adakit/core';
import * as tf from '@tensorflow/tfjs';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { tfjsDevice } from './device/device.js';
import { tfjsOptimizer, type AdakitOptimizer } from './optimizer/adakit-optimizer.js';
import { drawnLabels } from './optimizer/estimate.js';
import { registerOptimizers } from './optimizer/register.js';

// What JavaScript may give in the place of something else: an error names it, and nothing is passed over.

beforeAll(() => tf.setBackend('cpu'));
afterEach(() => {
  tf.disposeVariables();
});

const made = (): AdakitOptimizer => {
  tf.disposeVariables();
  const w = tf.variable(tf.tensor([1, 2]), true, 'w');
  const optimizer = tfjsOptimizer(ema(0.9, adam()));
  optimizer.minimize(() => tf.sum(tf.square(w)));
  return optimizer;
};
const grouped = (): AdakitOptimizer =>
  tfjsOptimizer(groups([{ name: 'biases', match: /bias/, hyperparameters: { lr: 1 } }], adam()));

const loaded = async (variables: unknown) => {
  const optimizer = made();
  return optimizer.load(await optimizer.state(), variables as never);
};

/** Loads a state whose optimizer has been changed. */
const changed = async (changes: object) => {
  const optimizer = made();
  const state = await optimizer.state();
  return optimizer.load({ ...state, optimizer: { ...state.optimizer, ...changes } });
};

const mistakes: Record<string, [what: string, call: () => unknown, message: string][]> = {
  'an optimizer': [
    ['a list for options', () => tfjsOptimizer(adam(), [] as never), 'got options: an object'],
    ['null for options', () => tfjsOptimizer(adam(), null as never), 'got options: null'],
    [
      'null for those of a device',
      () => tfjsDevice('cpu', null as never),
      'tfjsDevice(): options must be an object, got null',
    ],
    [
      'one that is misspelt',
      () => tfjsDevice('cpu', { fusd: true } as never),
      'tfjsDevice(): unknown option "fusd", did you mean "fused"?',
    ],
    [
      'a word for a flag',
      () => tfjsDevice('cpu', { fused: 'no' as never }),
      'tfjsDevice(): fused must be true or false, got "no"',
    ],
    ['a learning rate for options', () => tfjsOptimizer(adam(), 0.1 as never), 'got options: 0.1'],
    ['nothing to register', () => { registerOptimizers(undefined as never); }, 'registerOptimizers() needs an optimizer, got undefined'], // prettier-ignore
  ],
  setHyperparameters: [
    ['a number', () => { made().setHyperparameters(0.1 as never); }, 'unknown hyperparameter "0.1"'], // prettier-ignore
    ['a number, of a rule', () => { tfjsOptimizer(adam()).setHyperparameters(0.1 as never); }, 'adam: hyperparameters must be an object, got 0.1'], // prettier-ignore
    ['a word for a scope', () => { grouped().setHyperparameters({ lr: 1 }, 'biases' as never); }, 'scopes must be an object, got "biases"'], // prettier-ignore
    ['no learning rate', () => { made().learningRate = undefined as never; }, 'adam: lr is required'], // prettier-ignore
  ],
  gradients: [
    ['none', () => { made().applyGradients(undefined as never); }, 'gradient for "undefined", but there is no such variable'], // prettier-ignore
    ['a number', () => { made().applyGradients(5 as never); }, 'gradient for "undefined", but there is no such variable'], // prettier-ignore
    ['null in a list', () => { made().applyGradients([null] as never); }, 'gradient for "undefined", but there is no such'], // prettier-ignore
    ['numbers', () => { made().applyGradients({ w: [1, 2] } as never); }, 'the gradient of "w" has dtype undefined'], // prettier-ignore
  ],
  setWeights: [
    ['nothing', () => made().setWeights(undefined as never), 'each must be { name, tensor }'],
    [
      'tensors by name',
      () => made().setWeights({ iterations: tf.scalar(1) } as never),
      'each must be { name, tensor }',
    ],
    ['tensors', () => made().setWeights([tf.scalar(1)] as never), 'each must be { name, tensor }'],
    ['null in the list', () => made().setWeights([null] as never), 'each must be { name, tensor }'],
  ],
  withWeights: [
    ['no work', () => made().withWeights('averaged', undefined as never), 'withWeights() takes a function'],
    ['no work with what is trained', () => made().withWeights('trained', 5 as never), 'withWeights() takes a function'],
  ],
  load: [
    [
      'nothing',
      () => made().load(undefined as never),
      'a training state has optimizer and parameters; this has nothing',
    ],
    ['a state made by hand, without what it was made with', () => changed({ initial: undefined }), 'the state is malformed: initial of "ema" is undefined'], // prettier-ignore
    ['a state made by hand, without schedules', () => changed({ schedules: undefined }), 'the state is malformed: schedules of "ema" is undefined'], // prettier-ignore
    ['a state that JSON has made objects of', async () => made().load(JSON.parse(JSON.stringify(await made().state())) as never), 'value or slots of "w" are no tensors; take it from state() or readState()'], // prettier-ignore
    ['a name for variables', () => loaded('w'), 'it has a parameter "w" that this run lacks'], // prettier-ignore
    ['null for variables', () => loaded(null), 'it has a parameter "w" that this run lacks'], // prettier-ignore
    ['numbers for variables', () => loaded([1]), 'it has a parameter "w" that'],
  ],
  drawnLabels: [
    ['no optimizer', () => drawnLabels(undefined as never, { seed: 1 }), 'it takes an optimizer that tfjsOptimizer() has made, got undefined'], // prettier-ignore
    [
      'a word for a seed',
      () => drawnLabels(made(), { seed: '1' as never }),
      'drawnLabels: seed must be a whole number in [0, 2³²), got "1"',
    ],
    ['no options', () => drawnLabels(made(), undefined as never), 'options must be an object, got undefined (known: seed, outputs)'], // prettier-ignore
    ['outputs that there are not', () => drawnLabels(made(), { seed: 1, outputs: 'logit' as never }), 'drawnLabels: outputs must be one of logits, probabilities, got "logit"'], // prettier-ignore
  ],
};

describe.each(Object.entries(mistakes))('%s', (_, list) => {
  it.each(list)('%s', async (_, call, message) => {
    const attempt = expect(Promise.resolve().then(call)).rejects;
    await attempt.toThrow(AdakitError);
    await attempt.toThrow(message);
  });
});

it('work with the weights that are trained reads none of them', async () => {
  const optimizer = made();
  const before = tf.memory().numTensors;
  expect(await optimizer.withWeights('trained', () => tf.memory().numTensors)).toBe(before);
});
