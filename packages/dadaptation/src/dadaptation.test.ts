import { referenceRunFiles } from '@adakit/fixtures';
import { runReadme } from '@adakit/testing';
import { describeOptimizer } from '@adakit/testing/vitest';
import { expect, it } from 'vitest';
import { dadaptation } from './dadaptation.js';

describeOptimizer(dadaptation, {
  references: referenceRunFiles('dadaptation'),
  hash: 'd33772ea19350419d89987bc55a6380d',
  slots: [
    [
      {},
      {
        expAvg: { of: 'mean(grad) in units of dη', decay: 'beta1' },
        expAvgSq: { of: 'mean(grad^2)', decay: 'beta2' },
        s: { of: "D-Adaptation's s" },
      },
    ],
  ],
  refuses: [[{ lr: 0 }, 'dadaptation: lr must be > 0, got 0']],
  converges: {
    parabola: { steps: 300 },
    rosenbrock: { steps: 300 },
    beale: { steps: 300, options: { lr: 0.1 } },
    rastrigin: { steps: 300, options: { lr: 0.1 } },
  },
});

it('the README’s example runs', async () => {
  expect(await runReadme(new URL('../README.md', import.meta.url))).toBe(1);
});
