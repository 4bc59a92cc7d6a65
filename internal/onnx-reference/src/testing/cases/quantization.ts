import { Tensor } from '@adakit/onnx';
import type { Case } from './case.js';

export const quantizationCases: readonly Case[] = [
  {
    name: 'DequantizeLinear by one scale',
    dims: [[]],
    build: (e, scale) => {
      const x = e.constant(Tensor.of('uint8', [3], Uint8Array.of(0, 7, 255)));
      return e.node('DequantizeLinear', [x, scale, e.constant(Tensor.of('uint8', [], Uint8Array.of(3)))]);
    },
    single: true,
  },
  {
    name: 'DequantizeLinear by a scale for each row',
    dims: [[2]],
    build: (e, scale) => {
      const x = e.constant(Tensor.of('int8', [2, 3], Int8Array.of(1, -7, 12, 100, -128, 5)));
      return e.node('DequantizeLinear', [x, scale, e.constant(Tensor.of('int8', [2], Int8Array.of(3, -1)))], {
        axis: 0,
      });
    },
    single: true,
    fixed: true,
  },
];
