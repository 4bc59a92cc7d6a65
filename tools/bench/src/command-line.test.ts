import { expect, test } from 'vitest';
import { wholeNumber } from './command-line.js';
import { sizesOf } from './model-files.js';

test.each(['0', '-1', '1.5', 'x', ''])('%j is no whole number of at least 1', (text) => {
  expect(() => wholeNumber('--steps', text)).toThrow(`--steps must be a whole number of at least 1, got '${text}'`);
});

test('sizes are given by name, which may contain the sign', () => {
  expect(sizesOf(['batch=32', 'a=b=2'])).toEqual({ batch: 32, 'a=b': 2 });
  expect(() => sizesOf(['batch'])).toThrow("--dim must be NAME=SIZE, got 'batch'");
  expect(() => sizesOf(['batch=many'])).toThrow("--dim batch must be a whole number of at least 1, got 'many'");
});
