import { referenceRunFiles } from '@adakit/fixtures';
import { runReadme } from '@adakit/testing';
import { describeOptimizer } from '@adakit/testing/vitest';
import { expect, it } from 'vitest';
import { diffgrad } from './diffgrad.js';

describeOptimizer(diffgrad, {
  references: referenceRunFiles('diffgrad'),
  hash: 'a9a13ad1e3c180084f0301dccfd7943d',
  slots: [
    [
      {},
      {
        expAvg: { of: 'mean(grad)', decay: 'beta1' },
        expAvgSq: { of: 'mean(grad^2)', decay: 'beta2' },
        prevGrad: { of: 'previous(grad)' },
      },
    ],
  ],
  refuses: [[{ lr: 0 }, 'diffgrad: lr must be > 0, got 0']],
  converges: {
    parabola: { steps: 300, options: { lr: 0.3 } },
    rosenbrock: { steps: 300, options: { lr: 0.3 } },
    beale: { steps: 300, options: { lr: 0.1 } },
    rastrigin: { steps: 300, options: { lr: 0.03 } },
  },
});

it('the README’s example runs', async () => {
  expect(await runReadme(new URL('../README.md', import.meta.url))).toBe(1);
});
