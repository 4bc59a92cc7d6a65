import { getEventListeners } from 'node:events';
import { expect, it } from 'vitest';
import { onAbort } from './on-abort.js';

it('tells all listeners, of which the signal has one', () => {
  const controller = new AbortController();
  const told: number[] = [];
  const ends = Array.from({ length: 20 }, (_, i) => onAbort(controller.signal, () => told.push(i)));
  expect(getEventListeners(controller.signal, 'abort')).toHaveLength(1);
  for (const end of ends.slice(3)) end();
  controller.abort();
  expect(told).toEqual([0, 1, 2]);
});

it('leaves no listener behind, and can be asked again', () => {
  const controller = new AbortController();
  let told = 0;
  const listener = (): void => {
    told++;
  };
  const [first, second] = [onAbort(controller.signal, listener), onAbort(controller.signal, listener)];
  first();
  first();
  expect(getEventListeners(controller.signal, 'abort')).toHaveLength(1);
  second();
  expect(getEventListeners(controller.signal, 'abort')).toEqual([]);
  onAbort(controller.signal, listener);
  controller.abort();
  expect(told).toBe(1);
});
