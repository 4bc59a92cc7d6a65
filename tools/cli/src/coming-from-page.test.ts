import { runReadme } from '@adakit/testing';
import { expect, test } from 'vitest';

test('the example of the page for those who come from elsewhere runs', async () => {
  expect(await runReadme(new URL('../../../docs/coming-from.md', import.meta.url))).toBe(1);
});
