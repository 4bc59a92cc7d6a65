import { runReadme } from '@adakit/testing';
import { expect, test } from 'vitest';

test('the example of the README runs', async () => {
  expect(await runReadme(new URL('../README.md', import.meta.url))).toBe(1);
});
