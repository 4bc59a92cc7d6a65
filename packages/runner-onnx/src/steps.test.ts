import { dataFile } from '@adakit/fixtures';
import { crossEntropy, gradientsGraph, readModel } from '@adakit/onnx';
import { expect, it } from 'vitest';
import { optimizationLevel } from './steps.js';

const model = await readModel(dataFile('mnist-cnn.onnx'));
const loss = crossEntropy();

it.each([
  ['convolutions that stay as they are are rearranged', { freeze: /^conv/ }, { graphOptimizationLevel: 'all' }],
  ['weights that are trained are not waited for', {}, {}],
])('%s', (_, options, level) => {
  expect(optimizationLevel(gradientsGraph(model, { loss, ...options }))).toEqual(level);
});
