import { referenceRunFiles } from '@adakit/fixtures';
import { runReadme, takeSteps } from '@adakit/testing';
import { describeOptimizer } from '@adakit/testing/vitest';
import { expect, it } from 'vitest';
import { rprop } from './rprop.js';

describeOptimizer(rprop, {
  references: referenceRunFiles('rprop'),
  hash: 'c39e466259c4766d0f103445bbf89e78',
  slots: [[{}, { prev: { of: 'previous(grad)' }, stepSize: { of: 'step of every element' } }]],
  refuses: [
    [{ lr: 0 }, 'rprop: lr must be > 0, got 0'],
    [{ etaMinus: 1 }, 'rprop: etaMinus must be > 0 and < 1, got 1'],
    [{ etaMinus: 0 }, 'rprop: etaMinus must be > 0 and < 1, got 0 (a step of zero never grows again)'],
    [{ etaPlus: 1 }, 'rprop: etaPlus must be > 1, got 1'],
    [{ minStep: -1 }, 'rprop: minStep must be >= 0, got -1'],
    [{ maxStep: 0 }, 'rprop: maxStep must be > 0, got 0'],
  ],
  converges: {
    parabola: { steps: 100, options: { lr: 0.1 } },
    rosenbrock: { steps: 1000, options: { lr: 0.1 } },
    beale: { steps: 300, options: { lr: 0.1 } },
    rastrigin: { steps: 100, options: { lr: 0.01 } },
  },
});

it('the step grows while the gradient keeps its sign, and where it turns shrinks and waits once', async () => {
  const states = await takeSteps(
    rprop({ lr: 1, etaMinus: 0.5, etaPlus: 2, maxStep: 3 }),
    [0],
    [[9], [1e-3], [4], [-1], [-1], [-1]],
  );
  expect(states.map(({ param }) => param[0])).toEqual([-1, -3, -6, -6, -4.5, -1.5]);
  expect(states.map(({ slots }) => slots.stepSize[0])).toEqual([1, 2, 3, 1.5, 1.5, 3]);
});

it('the README’s example runs', async () => {
  expect(await runReadme(new URL('../README.md', import.meta.url))).toBe(1);
});
