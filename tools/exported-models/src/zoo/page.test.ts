import { expect, test } from 'vitest';
import type { Result } from './examine.js';
import { formatPage, verdictOf, type Outcome } from './page.js';

const general = {
  architecture: 'timm/test_vit',
  exporter: 'dynamo',
  versions: { torch: '2.15.0' },
  folder: '',
  label: 'timm-test_vit.dynamo',
};
const exported = {
  ...general,
  model: 'timm-test_vit.dynamo.onnx',
  opset: 18,
  optimized: true,
  stopsGradients: false,
  freeBatch: false,
  fusedAttention: true,
  parameterCount: 1234,
  inputs: ['image'],
  outputs: ['output0'],
  loss: 1,
  holds: { weight: ['model.weight'] },
  roundingOfOutputs: { output0: 1e-7 },
  rounding: { weight: 1e-7 },
  missing: [],
};
const right: Result = {
  output: { of: 'output0', error: 2e-7, bound: 1e-5 },
  nodes: 3,
  trainingNodes: 12,
  compared: 1,
  loss: { of: 'loss', error: 1e-8, bound: 1e-5 },
  gradient: { of: 'weight', error: 4e-7, bound: 1e-5 },
  wrong: [],
  notSelected: [],
  selectedConstants: [],
};
const wrong = { of: 'weight', error: 0.5, bound: 1e-5 };
const failed = { ...general, failure: 'SomeError: no `op` | here\nmore', atReference: false };

const outcomes: readonly (readonly [string, Outcome])[] = [
  ['trains', { record: exported, result: right }],
  ['not exported', { record: failed }],
  ['refused', { record: exported, result: { failure: 'Det has no gradient' } }],
  [
    'exported wrongly',
    { record: exported, result: { ...right, output: { ...wrong, of: 'output0' }, gradient: wrong, wrong: [wrong] } },
  ],
  ['exported wrongly', { record: exported, result: { invalid: 'Incompatible dimensions' } }],
  ['wrong', { record: exported, result: { ...right, gradient: wrong, wrong: [wrong] } }],
  ['not selected', { record: exported, result: { ...right, notSelected: [{ name: 'weight', reason: 'a mask' }] } }],
];

test.each(outcomes)('what %s is told from the others', (verdict, outcome) => {
  expect(verdictOf(outcome)).toBe(verdict);
});

test('the page counts verdicts and has a row for every model', () => {
  const page = formatPage(outcomes.map(([, outcome]) => outcome));
  expect(page).toContain('| timm/test_vit | dynamo | 1,234 | 3 | 12 | 4e-7 | 1e-5 | batch fixed |');
  expect(page).toContain('not exported: SomeError: no \\`op\\` \\| here more');
  expect(page).toContain('**wrong**: `weight`');
  expect(page.match(/^\| timm\/test_vit/gm)).toHaveLength(7);
  expect(page).toContain('| adakit cannot train it | 1 | 1 |');
});

test('an architecture that fails in PyTorch is not on the page', () => {
  const page = formatPage([outcomes[0][1], { record: { ...failed, architecture: 'timm/none', atReference: true } }]);
  expect(page).not.toContain('timm/none');
});
