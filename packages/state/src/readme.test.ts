import { runReadme } from '@adakit/testing';
import { expect, test } from 'vitest';

test('the examples in the README run', async () => {
  expect(await runReadme(new URL('../README.md', import.meta.url))).toBe(1);
});
