import { tensor32, type NamedTensors, type TensorData } from '@adakit/core';
import { describeRunner } from '@adakit/testing/vitest';
import * as tf from '@tensorflow/tfjs';
import { beforeAll } from 'vitest';
import './device/fused/cpu.js';
import { tfjsOptimizer } from './index.js';

const tensorOf = ({ data, shape }: TensorData): tf.Tensor => tf.tensor(Float32Array.from(data), [...shape]);

// Those of an earlier file may have these names.
beforeAll(() => {
  tf.disposeVariables();
});

describeRunner(
  'tfjsOptimizer',
  async ({ optimizer, parameters }) => {
    await tf.setBackend('cpu');
    const made = tfjsOptimizer(optimizer);
    const variables = Object.entries(parameters).map(([name, value]) => tf.variable(tensorOf(value), true, name));
    // Slots begin with the variables' first step, or with a state: those of this test are the same before.
    const read = (): NamedTensors =>
      Object.fromEntries(
        variables.map((variable) => [variable.name, tensor32(Array.from(variable.dataSync()), variable.shape)]),
      );
    return {
      step: (gradients) => {
        tf.tidy(() => {
          made.applyGradients(Object.fromEntries(Object.entries(gradients).map(([name, g]) => [name, tensorOf(g)])));
        });
      },
      weights: (view) => made.withWeights(view, read),
      state: () => made.state(),
      load: (state) => made.load(state, variables),
      setHyperparameters: (changes, scope) => {
        made.setHyperparameters(changes, scope);
      },
      dispose: () => {
        made.dispose();
        for (const variable of variables) variable.dispose();
      },
    };
  },
  { exact: true },
);
