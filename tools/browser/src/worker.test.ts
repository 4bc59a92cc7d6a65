import { afterAll, beforeAll, expect, test } from 'vitest';
import { Browser } from './chromium.js';
import { numbers } from './numbers.js';

let browser: Browser;
beforeAll(async () => {
  browser = await Browser.start();
});
afterAll(() => browser.close());

test('a worker of the browser serves the batches that there would be without it', async () => {
  const expected: number[][] = [];
  for (const pass of [0, 1]) {
    for await (const { x, labels } of numbers.read(pass)) expected.push([...x.data, ...labels.data].map(Number));
  }
  expect(await browser.call('readWorker')).toEqual(expected);
});

test('a worker that cannot be loaded is an error', async () => {
  expect(await browser.call('missingWorker')).toContain('the worker that serves the data has ended: ');
});
