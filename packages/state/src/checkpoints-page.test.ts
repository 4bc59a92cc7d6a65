import { runReadme } from '@adakit/testing';
import { expect, test } from 'vitest';

test('the examples of the page on checkpoints run', async () => {
  expect(await runReadme(new URL('../../../docs/checkpoints.md', import.meta.url))).toBe(2);
});
