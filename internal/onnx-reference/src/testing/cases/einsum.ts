import { apply, type Case } from './case.js';

const equations: [string, ...number[][]][] = [
  ['ij,jk->ik', [2, 3], [3, 4]],
  ['bij,bjk', [2, 3, 4], [2, 4, 5]],
  ['bhqd, bhkd -> bhqk', [2, 3, 4, 5], [2, 3, 6, 5]],
  ['...ij,jk->...ik', [2, 3, 4], [4, 5]],
  ['...i,...i->...', [2, 3, 4], [2, 3, 4]],
  ['ij->ji', [2, 3]],
  ['ij->i', [2, 3]],
  ['i,j->ij', [2], [3]],
  ['ij,ij->', [2, 3], [2, 3]],
  ['ij,kj->k', [2, 3], [4, 3]],
  ['ab,bc,cd->ad', [2, 3], [3, 4], [4, 2]],
  ['ii->i', [3, 3]],
  ['ii->', [3, 3]],
  ['bii,ij->bj', [2, 3, 3], [3, 4]],
  ['iji,j->i', [3, 2, 3], [2]],
  ['...ii->...i', [2, 4, 3, 3]],
];

export const einsumCases: readonly Case[] = equations.map(([equation, ...dims]) => ({
  name: `Einsum ${equation}`,
  dims,
  build: apply('Einsum', { equation }),
  native: 18,
}));
