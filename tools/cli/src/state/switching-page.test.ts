import { runReadme } from '@adakit/testing';
import { expect, test } from 'vitest';

test('the examples of the page on switching run', async () => {
  expect(await runReadme(new URL('../../../../docs/switching.md', import.meta.url))).toBe(2);
});
