import { float } from '@adakit/onnx';
import { apply, positive, type Case } from './case.js';

export const normalizationCases: readonly Case[] = [
  { name: 'LayerNormalization', dims: [[2, 3, 4], [4], [4]], build: apply('LayerNormalization'), native: 18 },
  {
    name: 'LayerNormalization over two axes, without bias',
    dims: [
      [2, 3, 4],
      [3, 4],
    ],
    build: apply('LayerNormalization', { axis: 1, epsilon: float(0.1) }),
    native: 18,
  },
  {
    name: 'LayerNormalization, scale of one row',
    dims: [
      [2, 3, 4],
      [1, 4],
    ],
    build: apply('LayerNormalization', { axis: 1 }),
    native: 18,
  },
  {
    name: 'BatchNormalization in inference form',
    dims: [[2, 3, 4, 2], [3], [3], [3], [3]],
    build: (e, x, scale, bias, mean, variance) =>
      e.node('BatchNormalization', [x, scale, bias, mean, e.add(e.square(variance), e.scalar(0.5, x))], {
        epsilon: float(0.01),
      }),
    native: 18,
  },
  {
    name: 'BatchNormalization in training form, with its statistics',
    dims: [[2, 3, 4], [3], [3], [3], [3]],
    build: (e, ...inputs) => {
      const outputs = e.nodes('BatchNormalization', inputs, { training_mode: 1, momentum: float(0.75) }, 3);
      return e.concat(
        outputs.map((output) => e.reshape(output, [-1])),
        0,
      );
    },
    fixed: true,
  },
  { name: 'BatchNormalization of vectors', dims: [[4, 3], [3], [3]], build: batchTraining },
  {
    name: 'InstanceNormalization',
    dims: [[2, 3, 4, 2], [3], [3]],
    build: apply('InstanceNormalization', { epsilon: float(0.01) }),
    native: 18,
  },
  {
    name: 'GroupNormalization',
    dims: [[2, 6, 3, 2], [6], [6]],
    build: apply('GroupNormalization', { num_groups: 3 }),
    native: 21,
  },
  {
    name: 'GroupNormalization with a scale for each group',
    dims: [[2, 6, 3], [3], [3]],
    build: apply('GroupNormalization', { num_groups: 3 }),
    native: 18,
  },
  { name: 'RMSNormalization', dims: [[2, 3, 4], [4]], build: apply('RMSNormalization'), native: 23 },
  {
    name: 'RMSNormalization over two axes',
    dims: [
      [2, 3, 4],
      [3, 4],
    ],
    build: apply('RMSNormalization', { axis: -2, epsilon: float(0.5) }),
    native: 23,
  },
  ...[1, 3, 5].map((size): Case => ({
    name: `LRN over ${size} channels`,
    dims: [[2, 4, 3, 2]],
    build: apply('LRN', { size, alpha: float(0.5), beta: float(0.6), bias: float(1.5) }),
    native: 18,
  })),
  ...[1, 2].map((p): Case => ({
    name: `LpNormalization with p = ${p}`,
    dims: [[2, 3, 4]],
    build: apply('LpNormalization', { p, axis: 1 }),
    native: 18,
  })),
  { name: 'MeanVarianceNormalization', dims: [[2, 3, 4, 2]], build: apply('MeanVarianceNormalization'), native: 18 },
  {
    name: 'MeanVarianceNormalization over one axis',
    dims: [[2, 3, 4]],
    build: apply('MeanVarianceNormalization', { axes: [-1] }),
    native: 18,
  },
  ...['ReduceL1', 'ReduceSumSquare', 'ReduceLogSumExp', 'ReduceLogSum', 'ReduceProd'].map((op): Case => ({
    name: op,
    dims: [[2, 3, 4]],
    build: (e, x) => e.node(op, [x, e.int64([0, -1])], { keepdims: 0 }),
    domain: positive,
    native: 18,
  })),
  {
    name: 'ReduceProd with one zero in a row and two in another',
    dims: [[3, 4]],
    build: (e, x) => {
      const zeros = [
        [0, 1],
        [2, 0],
        [2, 3],
      ];
      const mask = Array.from({ length: 12 }, (_, i) => zeros.every(([row, column]) => row * 4 + column !== i));
      const factors = e.concat(
        mask.map((kept) => e.reshape(e.scalar(kept ? 1 : 0, x), [1])),
        0,
      );
      return e.node('ReduceProd', [e.mul(x, e.reshape(factors, [3, 4])), e.int64([1])]);
    },
    fixed: true,
  },
];

function batchTraining(...[e, x, scale, bias]: Parameters<Case['build']>) {
  const zeros = e.zerosLike(scale);
  return e.node('BatchNormalization', [x, scale, bias, zeros, zeros], { training_mode: 1 });
}
