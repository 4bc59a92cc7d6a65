import { referenceRunFiles } from '@adakit/fixtures';
import { runReadme } from '@adakit/testing';
import { describeOptimizer } from '@adakit/testing/vitest';
import { expect, it } from 'vitest';
import { adamod } from './adamod.js';

describeOptimizer(adamod, {
  references: referenceRunFiles('adamod'),
  hash: 'cd583892a4076a65ecdec2f7e79753b2',
  slots: [
    [
      {},
      {
        expAvg: { of: 'mean(grad)', decay: 'beta1' },
        expAvgSq: { of: 'mean(grad^2)', decay: 'beta2' },
        expAvgLr: { of: 'mean(rate)', decay: 'beta3' },
      },
    ],
  ],
  refuses: [[{ lr: 0 }, 'adamod: lr must be > 0, got 0']],
  converges: {
    parabola: { steps: 300, options: { lr: 100 } },
    rosenbrock: { steps: 1000, options: { lr: 1 } },
    beale: { steps: 1000, options: { lr: 0.3 } },
    rastrigin: { steps: 300, options: { lr: 10 } },
  },
});

it('the README’s example runs', async () => {
  expect(await runReadme(new URL('../README.md', import.meta.url))).toBe(1);
});
