import { apply, type Case } from './case.js';

/** Pools of forms that become convolutions, which ONNX Runtime has in float32 only. */
export const poolingCases: readonly Case[] = [
  ...[{ dilations: [2, 1] }, { ceil_mode: 1 }, { dilations: [1, 3], pads: [1, 0, 0, 1], ceil_mode: 1 }].flatMap(
    (more) => [
      ...[2, 3].map((p): Case => ({
        name: `LpPool of ${p} ${JSON.stringify(more)}`,
        dims: [[2, 3, 6, 5]],
        build: apply('LpPool', { kernel_shape: [3, 2], strides: [2, 2], p, ...more }),
        native: 18,
        single: true,
        // With ceil_mode the windows beyond the padding are counted beforehand.
        ...('ceil_mode' in more ? { free: 3 } : {}),
      })),
    ],
  ),
  ...[0, 1].map((include): Case => ({
    name: `AveragePool, dilated, ${include === 1 ? 'padding included' : 'padding left out'}`,
    dims: [[2, 3, 6, 7]],
    build: apply('AveragePool', {
      kernel_shape: [2, 3],
      dilations: [2, 2],
      pads: [1, 0, 1, 2],
      strides: [1, 2],
      count_include_pad: include,
    }),
    native: 19,
    single: true,
  })),
];
