import { runReadme } from '@adakit/testing';
import { expect, test } from 'vitest';

test('the examples of the page on fine-tuning run', async () => {
  expect(await runReadme(new URL('../../../docs/fine-tuning.md', import.meta.url))).toBe(4);
});
