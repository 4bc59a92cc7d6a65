import { readFileSync } from 'node:fs';
import { runReadme } from '@adakit/testing';
import { expect, test } from 'vitest';

const page = new URL('../../../../docs/artifacts.md', import.meta.url);
const script = new URL('../../../../tools/fixtures/python/train_with_artifacts.py', import.meta.url);

test('the example of the page on artifacts runs', async () => {
  expect(await runReadme(page)).toBe(1);
});

test('its Python is the program that artifacts.test.ts runs, of at most 60 lines', () => {
  const [, shown] = /```python\n([^]*?)```/.exec(readFileSync(page, 'utf8')) ?? [];
  expect(shown).toBe(readFileSync(script, 'utf8'));
  expect(shown.trimEnd().split('\n').length).toBeLessThanOrEqual(60);
});
