import { referenceRunFiles } from '@adakit/fixtures';
import { runReadme, takeSteps } from '@adakit/testing';
import { describeOptimizer } from '@adakit/testing/vitest';
import { expect, it } from 'vitest';
import { ftrl } from './ftrl.js';

describeOptimizer(ftrl, {
  references: referenceRunFiles('ftrl'),
  hash: '717d3f7a51a091e690d31d0bac7a493c',
  slots: [[{}, { accumulator: { of: 'sum(grad^2)' }, linear: { of: 'sum(grad - change of the rate * param)' } }]],
  refuses: [
    [{ lr: 0 }, 'ftrl: lr must be > 0, got 0'],
    [{ l1: -1 }, 'ftrl: l1 must be >= 0, got -1'],
    [{ initialAccumulatorValue: 0 }, 'ftrl: initialAccumulatorValue must be > 0, got 0'],
  ],
  converges: { parabola: { steps: 300, options: { lr: 1 } }, beale: { steps: 300, options: { lr: 1 } } },
});

it('weights are exactly zero until the sum of their gradients exceeds l1, and then as far as it does', async () => {
  const optimizer = ftrl({ lr: 1, l1: 3, initialAccumulatorValue: 1e-12 });
  const states = await takeSteps(
    optimizer,
    [0, 0],
    [
      [1, -2],
      [1, -2],
      [1, -2],
    ],
  );
  expect(states.map(({ param }) => param[0])).toEqual([0, 0, 0]);
  expect(states[0].param[1]).toBe(0);
  // z = −4, n = 8: (4 − 3) / √8.
  expect(states[1].param[1]).toBeCloseTo(1 / Math.sqrt(8), 6);
});

it('without l1 and from zero, the first step is that of Adagrad', async () => {
  const [{ param }] = await takeSteps(ftrl({ lr: 0.5, initialAccumulatorValue: 0.75 }), [0], [[0.5]]);
  expect(param[0]).toBeCloseTo(-0.5 * 0.5, 15);
});

it('the README’s example runs', async () => {
  expect(await runReadme(new URL('../README.md', import.meta.url))).toBe(1);
});
