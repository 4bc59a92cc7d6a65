import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { PASSES } from './passes.js';

test('docs/onnx-pipeline.md describes every pass, in order', () => {
  const text = readFileSync(join(import.meta.dirname, '../../../../docs/onnx-pipeline.md'), 'utf8');
  const [, table] = /^\| pass [^]*?\n((?:\|.*\n)+)/m.exec(text) ?? expect.fail('no table of passes');
  const rows = Array.from(table.matchAll(/^\| `(\w+)` +\|/gm), ([, name]) => name);
  expect(rows).toEqual(PASSES);
});
