import { adam } from '@adakit/adam';
import { hostView, makePlan } from '@adakit/core';
import { expect, it } from 'vitest';
import { hostDeviceFor } from './host.js';
import { WorkerThreads } from './threads/worker-threads.js';

const planOf = (...shape: number[]) => makePlan(adam(), [{ name: 'table', shape }]);

it('updates are computed in WebAssembly where a parameter with its gradient and slots fits, in JavaScript elsewhere', () => {
  expect(hostDeviceFor(planOf(50_000, 1024), 'float32', undefined).name).toBe('wasm');
  // Four times a GiB.
  expect(hostDeviceFor(planOf(2 ** 18, 2 ** 10), 'float32', undefined).name).toBe('js');
  expect(hostDeviceFor(planOf(3), 'float64', undefined).precision).toBe('float64');
});

it('memory is shared where threads are to share it', () => {
  const sharing = (threads?: WorkerThreads): boolean => {
    const device = hostDeviceFor(planOf(3), 'float32', threads);
    const [[buffer]] = device.allocate([[3]]);
    return hostView(buffer).buffer instanceof SharedArrayBuffer;
  };
  expect([sharing(), sharing(new WorkerThreads(2))]).toEqual([false, true]);
});
