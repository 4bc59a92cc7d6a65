import { tensor32, type NamedTensors, type TensorData } from '@adakit/core';
import { emitterOf, Graph, modelFromGraph, outputLoss, Tensor, writeModel } from '@adakit/onnx';
import { describeRunner } from '@adakit/testing/vitest';
import { describe } from 'vitest';
import { TrainingSession, type Batch } from './index.js';

/** The loss Σ⟨parameter, gradient⟩ with gradients that are fed, and the parameters as outputs. */
function linearModel(parameters: NamedTensors): Uint8Array {
  const graph = new Graph('linear');
  const e = emitterOf(graph);
  const terms = Object.entries(parameters).map(([name, { shape, data }]) => {
    const parameter = graph.addInitializer(name, Tensor.of('float32', [...shape], Float32Array.from(data)));
    const value = e.node('Identity', [parameter]);
    graph.rename(value, `value.${name}`);
    graph.outputs.push(value);
    const gradient = graph.addInput(`gradient.${name}`, { dtype: 'float32', shape: [...shape] });
    return e.node('ReduceSum', [e.mul(parameter, gradient)], { keepdims: 0 });
  });
  const loss = terms.reduce((sum, term) => e.add(sum, term));
  graph.rename(loss, 'loss');
  graph.outputs.push(loss);
  return writeModel(modelFromGraph(graph));
}

const fed = (gradients: Readonly<Record<string, TensorData>>): Batch =>
  Object.fromEntries(
    Object.entries(gradients).map(([name, { data, shape }]) => [
      `gradient.${name}`,
      { data: Float32Array.from(data), dims: shape },
    ]),
  );

describe.each(['node', 'native'] as const)('through the runtime %s', (runtime) => {
  describeRunner(
    'TrainingSession',
    async ({ optimizer, parameters }) => {
      const session = await TrainingSession.create({
        model: linearModel(parameters),
        loss: outputLoss({ output: 'loss' }),
        optimizer,
        train: () => true,
        runtime,
      });
      return {
        step: (gradients) => session.step(fed(gradients)),
        async weights(view) {
          const outputs = await session.predict(fed(parameters), { weights: view });
          return Object.fromEntries(
            Object.keys(parameters).map((name) => {
              const { data, dims } = outputs[`value.${name}`];
              return [name, tensor32(Array.from(data as Float32Array), dims)];
            }),
          );
        },
        state: () => session.state(),
        load: (state) => session.load(state),
        setHyperparameters: (changes, scope) => {
          session.setHyperparameters(changes, scope);
        },
        dispose: () => session.dispose(),
      };
    },
    { exact: true },
  );
});
