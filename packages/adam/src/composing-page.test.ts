import { runReadme } from '@adakit/testing';
import { expect, test } from 'vitest';

test('the examples of the page on what goes around an optimizer run', async () => {
  expect(await runReadme(new URL('../../../docs/composing.md', import.meta.url))).toBe(3);
});
