import { dataFile } from '@adakit/fixtures';
import { expect, test } from 'vitest';
import { inferenceForm } from './inference-form.js';
import { readModel } from './model.js';

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
