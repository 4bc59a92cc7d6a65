import { readData } from '@adakit/fixtures';
import { expect, it } from 'vitest';
import { API, API_VERSION } from './api-table.js';

/** The entries of `OrtApi` in their order, read from the C header of API version 30. */
const order = readData('ort-api-order.json') as readonly string[];

it('calls each function at its place in the table', () => {
  for (const [name, [index]] of Object.entries(API)) expect(order[index], name).toBe(name);
});

it('asks for a version that has the newest of them', () => {
  // The last entry of version 23, by the remarks in the header.
  const last = order.indexOf('CopyTensors');
  expect(Math.max(...Object.values(API).map(([index]) => index))).toBe(last);
  expect(API_VERSION).toBe(23);
});
