import type { Case } from './case.js';

export const signalCases: readonly Case[] = [
  { what: 'cut', length: 4 },
  { what: 'filled up', length: 9 },
].map(({ what, length }) => ({
  name: `DFT, ${what}`,
  dims: [[2, 6, 1]],
  build: (e, x) => e.node('DFT', [x, e.scalar(length, 'int64')], { axis: 1 }),
}));
