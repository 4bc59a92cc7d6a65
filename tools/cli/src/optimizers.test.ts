import {
  accumulate,
  adaptiveClipping,
  centralization,
  clipByGlobalNorm,
  clipByNorm,
  clipByRms,
  clipByValue,
  decoupledDecay,
  ema,
  freezeRows,
  gradientAveraging,
  gradientNoise,
  groups,
  lookahead,
  lossScaling,
  maximize,
  maxNorm,
  nonNegativeWeights,
  normalizeByGlobalNorm,
  sam,
  swa,
  unitNorm,
  type Optimizer,
} from '@adakit/core';
import { expect, it } from 'vitest';
import { optimizerNames } from './known-names.js';
import { optimizerByName } from './optimizer-by-name.js';
import * as rules from './rules.js';
import { knowsWrappers, optimizerOf } from './optimizers.js';

const inner = optimizerByName('adam', { lr: 0.5 });
const trees: readonly Optimizer[] = [
  ...optimizerNames.map((name) => optimizerByName(name, { lr: 0.25 })),
  accumulate(3, inner),
  adaptiveClipping(inner, { clipping: 0.5 }),
  centralization(inner),
  clipByGlobalNorm(3, inner, { infinity: true }),
  clipByNorm(3, inner),
  clipByRms(3, inner),
  clipByValue(3, inner),
  decoupledDecay(0.25, inner),
  ema(0.5, inner, { debias: true, overwriteEvery: 4 }),
  freezeRows([0, 3, 4, 9], inner),
  gradientAveraging(0.5, inner, { debias: true }),
  gradientNoise(inner, { seed: 7 }),
  lookahead(inner, { every: 3 }),
  lossScaling(inner, { growth: 4 }),
  maximize(inner),
  maxNorm(3, inner),
  normalizeByGlobalNorm(inner, { scale: 2 }),
  unitNorm(inner),
  nonNegativeWeights(inner),
  sam(0.5, inner, { adaptive: true }),
  swa({ start: 5 }, inner),
  ema(0.5, groups([{ name: 'own', match: /b$/, optimizer: sam(1, inner) }, { match: 'x' }], clipByNorm(1, inner))),
];

it.each(trees.map((tree) => [String(tree), tree] as const))('%s comes back from what a file says of it', (_, tree) => {
  const config = tree.toConfig();
  expect(knowsWrappers(config)).toBe(true);
  expect(optimizerOf(config, rules).toConfig()).toEqual(config);
});

it('what is unknown is named', () => {
  const config = inner.toConfig();
  const strange = {
    kind: 'wrapper',
    name: 'toString',
    hyperparameters: {},
    initial: {},
    schedules: {},
    inner: config,
  } as const;
  expect(knowsWrappers(strange)).toBe(false);
  expect(() => optimizerOf(strange, rules)).toThrow(
    'unknown wrapper "toString" around the optimizer (known: accumulate, ',
  );
  expect(() => optimizerOf({ ...strange, kind: 'rule', name: 'adm', inner: undefined as never }, rules)).toThrow(
    'unknown optimizer "adm", did you mean "adam"?',
  );
});
