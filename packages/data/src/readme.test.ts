import { runReadme } from '@adakit/testing';
import { expect, it } from 'vitest';

it('the example of the README runs', async () => {
  expect(await runReadme(new URL('../README.md', import.meta.url))).toBe(1);
});
