import { Tensor } from '@adakit/onnx';
import type { Case } from './case.js';

const labels = (...values: number[]) => Tensor.of('int64', [values.length], BigInt64Array.from(values, BigInt));

export const lossCases: readonly Case[] = ['mean', 'sum', 'none'].flatMap((reduction): Case[] => [
  {
    name: `SoftmaxCrossEntropyLoss, ${reduction}`,
    dims: [[3, 4]],
    build: (e, x) => e.node('SoftmaxCrossEntropyLoss', [x, e.constant(labels(1, 0, 3))], { reduction }),
    native: 13,
    fixed: true,
  },
  {
    name: `SoftmaxCrossEntropyLoss with class weights and an ignored label, ${reduction}`,
    dims: [[3, 4], [4]],
    build: (e, x, weights) => {
      const inputs = [x, e.constant(labels(1, -1, 3)), e.add(weights, e.scalar(2, weights))];
      const [loss, log] = e.nodes('SoftmaxCrossEntropyLoss', inputs, { reduction, ignore_index: -1 }, 2);
      return e.add(e.reduceSum(e.square(log)), loss);
    },
    native: 13,
    fixed: true,
  },
  {
    name: `NegativeLogLikelihoodLoss of images, ${reduction}`,
    dims: [[2, 3, 2], [3]],
    build: (e, x, weights) => {
      const target = e.reshape(e.constant(labels(0, 2, 1, 2)), [2, 2]);
      const inputs = [x, target, e.add(weights, e.scalar(2, weights))];
      return e.node('NegativeLogLikelihoodLoss', inputs, { reduction, ignore_index: 1 });
    },
    native: 13,
    fixed: true,
  },
]);
