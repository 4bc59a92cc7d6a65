import { referenceRunFiles } from '@adakit/fixtures';
import { runReadme } from '@adakit/testing';
import { describeOptimizer } from '@adakit/testing/vitest';
import { expect, it } from 'vitest';
import { nadam } from './nadam.js';

describeOptimizer(nadam, {
  references: referenceRunFiles('nadam'),
  hash: 'fbce44e9047b3bd08a4bb530c9927c6b',
  slots: [
    [
      {},
      {
        expAvg: { of: 'mean(grad)', decay: 'beta1' },
        expAvgSq: { of: 'mean(grad^2)', decay: 'beta2' },
        muProduct: { of: 'product(momentum)' },
      },
    ],
  ],
  refuses: [[{ lr: 0 }, 'nadam: lr must be > 0, got 0']],
  converges: {
    parabola: { steps: 300, options: { lr: 0.3 } },
    rosenbrock: { steps: 1000, options: { lr: 0.03 } },
    beale: { steps: 300, options: { lr: 0.1 } },
    rastrigin: { steps: 300, options: { lr: 0.03 } },
  },
});

it('the README’s example runs', async () => {
  expect(await runReadme(new URL('../README.md', import.meta.url))).toBe(1);
});
