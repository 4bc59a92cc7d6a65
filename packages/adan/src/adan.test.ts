import { referenceRunFiles } from '@adakit/fixtures';
import { runReadme } from '@adakit/testing';
import { describeOptimizer } from '@adakit/testing/vitest';
import { expect, it } from 'vitest';
import { adan } from './adan.js';

describeOptimizer(adan, {
  references: referenceRunFiles('adan'),
  hash: 'abce9eb33b0bdfcdbca468f7d11ac17e',
  slots: [
    [
      {},
      {
        expAvg: { of: 'mean(grad)', decay: 'beta1' },
        expAvgDiff: { of: 'mean(grad - previous(grad))', decay: 'beta2' },
        expAvgSq: { of: 'mean(nesterov(grad)^2)', decay: 'beta3' },
        prevGrad: { of: 'previous(grad)' },
      },
    ],
  ],
  refuses: [[{ lr: 0 }, 'adan: lr must be > 0, got 0']],
  converges: {
    parabola: { steps: 300, options: { lr: 1 } },
    rosenbrock: { steps: 300, options: { lr: 0.1 } },
    beale: { steps: 300, options: { lr: 0.1 } },
    rastrigin: { steps: 300, options: { lr: 0.1 } },
  },
});

it('the README’s example runs', async () => {
  expect(await runReadme(new URL('../README.md', import.meta.url))).toBe(1);
});
