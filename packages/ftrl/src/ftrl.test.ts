import { referenceRunFiles } from '@adakit/fixtures';
import { runReadme } from '@adakit/testing';
import { describeOptimizer } from '@adakit/testing/vitest';
import { expect, it } from 'vitest';
import { ftrl } from './ftrl.js';

describeOptimizer(ftrl, {
  references: referenceRunFiles('ftrl'),
  hash: 'dc93655701da4b7058b9282d3b79f24b',
  slots: [
    [
      {},
      {
        expAvg: { of: 'mean(grad)', decay: 'beta1' },
        expAvgSq: { of: 'mean(grad^2)', decay: 'beta2' },
      },
    ],
  ],
  refuses: [[{ lr: 0 }, 'ftrl: lr must be > 0, got 0']],
  converges: { parabola: { steps: 300, options: { lr: 0.1 }, left: 0.05 } },
});

it('the README’s example runs', async () => {
  expect(await runReadme(new URL('../README.md', import.meta.url))).toBe(1);
});
