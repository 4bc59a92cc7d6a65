import { adam } from '@adakit/adam';
import { makePlan } from '@adakit/core';
import { expect, it } from 'vitest';
import { hostDeviceFor } from './host.js';

const planOf = (...shape: number[]) => makePlan(adam(), [{ name: 'table', shape }]);

it('updates are computed in WebAssembly where a parameter with its gradient and slots fits, in JavaScript elsewhere', () => {
  expect(hostDeviceFor(planOf(50_000, 1024), 'float32').name).toBe('wasm');
  // Four times a GiB.
  expect(hostDeviceFor(planOf(2 ** 18, 2 ** 10), 'float32').name).toBe('js');
  expect(hostDeviceFor(planOf(3), 'float64').precision).toBe('float64');
});
