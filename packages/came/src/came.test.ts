import { referenceRunFiles } from '@adakit/fixtures';
import { runReadme } from '@adakit/testing';
import { describeOptimizer } from '@adakit/testing/vitest';
import { expect, it } from 'vitest';
import { came } from './came.js';

describeOptimizer(came, {
  references: referenceRunFiles('came'),
  hash: '29bb34d7e2e688c71c27d0a4c21efc2b',
  slots: [
    [
      {},
      {
        expAvg: { of: 'mean(factored grad)', decay: 'beta1' },
        rowVar: { of: 'mean(grad^2) along the other axis', decay: 'beta2' },
        colVar: { of: 'mean(grad^2) along the other axis', decay: 'beta2' },
        rowRes: { of: 'instability along the other axis', decay: 'beta3' },
        colRes: { of: 'instability along the other axis', decay: 'beta3' },
      },
    ],
  ],
  refuses: [[{ lr: 0 }, 'came: lr must be > 0, got 0']],
  converges: {
    parabola: { steps: 300, options: { lr: 0.1 } },
    rosenbrock: { steps: 300, options: { lr: 0.1 } },
    beale: { steps: 300, options: { lr: 0.1 } },
    rastrigin: { steps: 300, options: { lr: 0.03 } },
  },
});

it('the README’s example runs', async () => {
  expect(await runReadme(new URL('../README.md', import.meta.url))).toBe(1);
});
