import { runReadme } from '@adakit/testing';
import { expect, it } from 'vitest';

it('the examples of the README run', async () => {
  expect(await runReadme(new URL('../README.md', import.meta.url))).toBe(9);
});
