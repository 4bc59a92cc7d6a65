import { referenceRunFiles } from '@adakit/fixtures';
import { runReadme } from '@adakit/testing';
import { describeOptimizer } from '@adakit/testing/vitest';
import { expect, it } from 'vitest';
import { ademamix } from './ademamix.js';

describeOptimizer(ademamix, {
  references: referenceRunFiles('ademamix'),
  hash: '83564e467bb1f59a6a2d22f4fe3c9255',
  slots: [
    [
      {},
      {
        expAvg: { of: 'mean(grad)', decay: 'beta1' },
        expAvgSq: { of: 'mean(grad^2)', decay: 'beta2' },
        expAvgSlow: { of: 'mean(grad)', decay: 'beta3' },
      },
    ],
  ],
  refuses: [[{ lr: 0 }, 'ademamix: lr must be > 0, got 0']],
  converges: {
    parabola: { steps: 300, options: { lr: 10 } },
    rosenbrock: { steps: 300, options: { lr: 1 } },
    beale: { steps: 300, options: { lr: 1 } },
    rastrigin: { steps: 300, options: { lr: 0.3 } },
  },
});

it('the README’s example runs', async () => {
  expect(await runReadme(new URL('../README.md', import.meta.url))).toBe(1);
});
