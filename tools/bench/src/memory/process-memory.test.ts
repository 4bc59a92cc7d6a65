import { expect, test } from 'vitest';
import { processBytes, slopeOf } from './process-memory.js';

test('the slope of a line is found, also with noise that cancels', () => {
  expect(slopeOf([3, 5, 7, 9])).toBe(2);
  expect(slopeOf([1, -1, -1, 1])).toBe(0);
});

test.runIf(process.platform === 'linux')('a process knows its memory, and the most that it was', () => {
  const before = processBytes('VmHWM');
  // As much as there ever was, and the program itself beside it.
  const held = new Uint8Array(before).fill(1);
  expect(processBytes('VmHWM')).toBeGreaterThan(before + 2 ** 24);
  expect(held.at(-1)).toBe(1);
});
