import { runReadme } from '@adakit/testing';
import { expect, test } from 'vitest';

test('the example of the page on exporting runs', async () => {
  expect(await runReadme(new URL('../../../docs/exporting.md', import.meta.url))).toBe(1);
});
