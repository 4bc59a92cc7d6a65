import { apply, positive, type Case } from './case.js';

export const layoutCases: readonly Case[] = [
  ...[0, 1, 2, 3].map((flags): Case => ({
    name: `CumSum exclusive=${flags & 1} reverse=${flags >> 1}`,
    dims: [[3, 4]],
    build: (e, x) => e.node('CumSum', [x, e.scalar(-1, 'int64')], { exclusive: flags & 1, reverse: flags >> 1 }),
  })),
  { name: 'Trilu', dims: [[2, 3, 4]], build: apply('Trilu') },
  {
    name: 'Trilu, lower and shifted',
    dims: [[4, 3]],
    build: (e, x) => e.node('Trilu', [x, e.scalar(-1, 'int64')], { upper: 0 }),
  },
  { name: 'Tile', dims: [[2, 3]], build: (e, x) => e.node('Tile', [x, e.int64([3, 2])]) },
  {
    name: 'TopK',
    dims: [[3, 5]],
    build: (e, x) => e.nodes('TopK', [x, e.int64([2])], {}, 2)[0],
  },
  {
    name: 'TopK of the smallest along an axis',
    dims: [[4, 3]],
    build: (e, x) => e.nodes('TopK', [x, e.int64([3])], { axis: 0, largest: 0 }, 2)[0],
  },
  ...['DCR', 'CRD'].map((mode): Case => ({
    name: `DepthToSpace, ${mode}`,
    dims: [[2, 12, 3, 2]],
    build: apply('DepthToSpace', { blocksize: 2, mode }),
    fixed: true,
  })),
  { name: 'SpaceToDepth', dims: [[2, 3, 4, 6]], build: apply('SpaceToDepth', { blocksize: 2 }) },
  {
    name: 'ReverseSequence',
    dims: [[4, 3, 2]],
    build: (e, x) => e.node('ReverseSequence', [x, e.int64([1, 4, 3])]),
  },
  { name: 'CastLike', dims: [[2, 3]], build: (e, x) => e.node('CastLike', [x, x]), native: 18 },
  {
    name: 'LpPool',
    dims: [[2, 3, 5, 6]],
    build: apply('LpPool', { kernel_shape: [2, 3], strides: [1, 2], pads: [1, 0, 0, 1] }),
    domain: positive,
    single: true,
    native: 18,
  },
  {
    name: 'LpPool with p = 3',
    dims: [[2, 3, 5]],
    build: apply('LpPool', { kernel_shape: [2], p: 3 }),
    domain: positive,
    single: true,
    native: 18,
  },
  { name: 'GlobalLpPool', dims: [[2, 3, 4, 2]], build: apply('GlobalLpPool'), native: 18 },
  { name: 'GlobalLpPool with p = 1', dims: [[2, 3, 4]], build: apply('GlobalLpPool', { p: 1 }), native: 18 },
];
