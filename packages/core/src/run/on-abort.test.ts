import { getEventListeners } from 'node:events';
import { expect, it } from 'vitest';
import { onAbort, signalProblem } from './on-abort.js';

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

it('says what is wrong with what is no signal', () => {
  const { signal } = new AbortController();
  for (const right of [undefined, signal, AbortSignal.timeout(1), AbortSignal.any([signal])]) {
    expect(signalProblem(right)).toBeUndefined();
  }
  const message = 'signal must be an AbortSignal, as new AbortController().signal is, got';
  expect(signalProblem(null)).toBe(`${message} null`);
  expect(signalProblem(new AbortController())).toBe(`${message} AbortController`);
  expect(signalProblem({ aborted: true })).toBe(`${message} Object`);
});
