import { dataFile } from '@adakit/fixtures';
import { expect, test } from 'vitest';
import { Graph } from '../graph/graph.js';
import { modelFromGraph } from '../graph/to-model.js';
import { emitterOf } from '../inference/emitter-of.js';
import { inferenceForm } from './inference-form.js';
import { parseModel, readModel, writeModel, type Model } from './model.js';
import { Tensor } from './tensor.js';

test('normalizations and dropout lose their training form, with what only that has used', async () => {
  const { graph } = inferenceForm(await readModel(dataFile('quirks/training-form.onnx')));
  const [normalization, dropout] = ['BatchNormalization', 'Dropout'].map((op) =>
    graph.node.find(({ opType }) => opType === op),
  );
  expect(normalization?.attribute.map(({ name }) => name)).toEqual(['epsilon', 'momentum']);
  expect(normalization?.output).toHaveLength(1);
  expect(dropout?.input).toHaveLength(2);
  const constants = graph.node.filter(({ opType }) => opType === 'Constant').flatMap(({ output }) => output);
  expect(constants).toEqual(['/3/Constant_output_0']);
});

test('a normalization of weights keeps its training form, which is how it uses their statistics', async () => {
  const model = await readModel(dataFile('quirks/weight-standardization.onnx'));
  expect(inferenceForm(model)).toBe(model);
});

/** The training form of a normalization of x whose running variance is squared for an output; `fed` ones are inputs. */
function telling(fed: boolean): Model {
  const graph = new Graph('tell');
  const e = emitterOf(graph);
  const shape = [2];
  const vector = (name: string) => graph.addInitializer(name, Tensor.of('float32', shape, Float32Array.of(3, 4)));
  const running = (name: string) => (fed ? graph.addInput(name, { dtype: 'float32', shape }) : vector(name));
  const x = graph.addInput('x', { dtype: 'float32', shape: [4, 2] });
  const inputs = [x, vector('scale'), vector('bias'), running('mean'), running('variance')];
  const [y, , variance] = e.nodes('BatchNormalization', inputs, { training_mode: 1 }, 3);
  graph.outputs.push(y, e.square(variance));
  return parseModel(writeModel(modelFromGraph(graph)));
}

test('running statistics that the model uses are those stored', () => {
  const { graph } = inferenceForm(telling(false));
  expect(graph.node.map(({ opType, input }) => [opType, input.slice(-1)])).toEqual([
    ['BatchNormalization', ['variance']],
    ['Identity', ['variance']],
    ['Mul', ['BatchNormalization.2']],
  ]);
  expect(graph.node[0].output).toHaveLength(1);
  expect(graph.node[1].output).toEqual(['BatchNormalization.2']);
});

test('a normalization keeps its training form where the statistics that it moves are not stored', () => {
  const model = telling(true);
  expect(inferenceForm(model)).toBe(model);
});
