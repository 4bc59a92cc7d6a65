import { expect, test } from 'vitest';
import type { Result } from './examine.js';
import { formatPage, mergeRows, readRows, rowOf, verdictOf, type Outcome } from './page.js';

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

const measured = (result: Result, code = 'abc1234'): Outcome => ({ record: exported, examined: { code, result } });

const outcomes: readonly (readonly [string, Outcome])[] = [
  ['trains', measured(right)],
  ['not exported', { record: failed }],
  ['refused', measured({ failure: 'Det has no gradient' })],
  ['exported wrongly', measured({ ...right, output: { ...wrong, of: 'output0' }, gradient: wrong, wrong: [wrong] })],
  ['exported wrongly', measured({ invalid: 'Incompatible dimensions' })],
  ['trains', measured({ ...right, output: undefined, refused: 'Invalid attribute perm' })],
  ['wrong', measured({ ...right, gradient: wrong, wrong: [wrong] })],
  ['not selected', measured({ ...right, notSelected: [{ name: 'weight', reason: 'a mask' }] })],
];
const rows = outcomes.flatMap(([, outcome]) => rowOf(outcome) ?? []);

test.each(outcomes)('what %s is told from the others', (verdict, outcome) => {
  expect(verdictOf(outcome)).toBe(verdict);
});

test('the page counts verdicts and has a row for every model', () => {
  const page = formatPage(rows, general.versions);
  expect(page).toContain('| timm/test_vit | dynamo | trains | 1,234 | 3 | 12 | 4e-7 | 1e-5 | abc1234 | batch fixed |');
  expect(page).toContain('| not exported |  |  |  |  |  |  | SomeError: no \\`op\\` \\| here more |');
  expect(page).toContain('**wrong**: `weight`');
  expect(page.match(/^\| timm\/test_vit/gm)).toHaveLength(8);
  expect(page).toContain('| adakit cannot train it | 1 | 1 |');
});

test('messages of exporters are explained where they are known', () => {
  const message =
    "UnsupportedOperatorError: Exporting the operator 'aten::diff' to ONNX opset version 17 is not supported";
  expect(rowOf({ record: { ...failed, failure: message } })?.remarks).toBe(
    'the exporter has no `aten::diff` at opset 17',
  );
  const known = { ...exported, architecture: 'torchvision/s3d' };
  expect(rowOf({ record: known, examined: { code: '', result: { invalid: 'bias' } } })?.remarks).toContain('conv3d');
});

test('rows of the page stay, with the code they were measured with, unless they are measured anew', () => {
  const [first] = rows;
  const other = { ...first, architecture: 'timm/other' };
  expect(readRows(formatPage(rows, general.versions))).toEqual(rows);
  const anew = { ...other, code: 'def5678' };
  const page = formatPage(mergeRows([other, first], [anew]), general.versions);
  expect(readRows(page)).toEqual([anew, first]);
  expect(page).toContain('1 with `def5678`, 1 with `abc1234`');
  expect(() => readRows('# A page')).toThrow('no table of models');
});

test('an architecture that fails in PyTorch is not on the page', () => {
  expect(rowOf({ record: { ...failed, atReference: true } })).toBeUndefined();
});
