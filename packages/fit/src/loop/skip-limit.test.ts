import { fromElements } from '@adakit/data';
import { expect, it } from 'vitest';
import { fit } from './fit.js';
import { skipLimit } from './skip-limit.js';

/** Takes the steps for which the text has a dot, and skips the others. */
const model = (steps: string) => {
  let [batches, taken] = [0, 0];
  return {
    step: () => {
      const isTaken = steps[batches++] === '.';
      if (isTaken) taken++;
      return Promise.resolve({ step: taken, loss: 1, outcome: isTaken ? ('taken' as const) : ('skipped' as const) });
    },
  };
};
const data = (steps: string) => fromElements(Array.from(steps, () => ({ x: 1 }))).batch(1);
const train = (steps: string, most: number) => fit(model(steps), data(steps), { callbacks: [skipLimit(most)] });

it('lets so many steps in a row be skipped, again and again', async () => {
  expect((await train('.xx.xx.xx', 2)).step).toBe(3);
  expect((await train('...', 0)).step).toBe(3);
});

it.each([
  [
    '.xx.xxx.',
    2,
    'skipLimit(2), onStep, failed at step 2: 3 steps in a row were skipped, as the loss or gradients were',
  ],
  ['.x', 0, 'skipLimit(0), onStep, failed at step 1: a step was skipped, as the loss or gradients were not finite'],
])('fails where more are: %s', async (steps, most, message) => {
  await expect(train(steps, most)).rejects.toThrow(message);
});

it('is of a whole number', () => {
  expect(() => skipLimit(1.5)).toThrow('skipLimit: it must be a whole number of at least 0, got 1.5');
  expect(() => skipLimit(-1)).toThrow('got -1');
});

it('counts anew in another run', async () => {
  const limit = skipLimit(1);
  const run = (steps: string) => fit(model(steps), data(steps), { callbacks: [limit] });
  await run('.x');
  await run('x.');
});
