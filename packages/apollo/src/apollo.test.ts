import { referenceRunFiles } from '@adakit/fixtures';
import { runReadme } from '@adakit/testing';
import { describeOptimizer } from '@adakit/testing/vitest';
import { expect, it } from 'vitest';
import { apollo } from './apollo.js';

describeOptimizer(apollo, {
  references: referenceRunFiles('apollo'),
  hash: '2995f09b51f2938f53b1f4c63f43fac7',
  slots: [
    [
      {},
      {
        expAvg: { of: 'corrected mean(grad)' },
        hessian: { of: 'diagonal of the Hessian by Apollo' },
        direction: { of: 'the last direction' },
      },
    ],
  ],
  refuses: [[{ lr: 0 }, 'apollo: lr must be > 0, got 0']],
  converges: {
    parabola: { steps: 300, options: { lr: 0.001 } },
    rastrigin: { steps: 300, options: { lr: 1e-5 } },
  },
});

it('the README’s example runs', async () => {
  expect(await runReadme(new URL('../README.md', import.meta.url))).toBe(1);
});
