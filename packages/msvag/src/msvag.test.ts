import { referenceRunFiles } from '@adakit/fixtures';
import { runReadme } from '@adakit/testing';
import { describeOptimizer } from '@adakit/testing/vitest';
import { expect, it } from 'vitest';
import { msvag } from './msvag.js';

describeOptimizer(msvag, {
  references: referenceRunFiles('msvag'),
  hash: 'bcf537f8f1bf878c09f4b1790be8aa7e',
  slots: [[{}, { expAvg: { of: 'mean(grad)', decay: 'beta' }, expAvgSq: { of: 'mean(grad^2)', decay: 'beta' } }]],
  refuses: [[{ lr: 0 }, 'msvag: lr must be > 0, got 0']],
  converges: {
    parabola: { steps: 300, options: { lr: 0.1 } },
    rosenbrock: { steps: 300, options: { lr: 0.003 } },
    beale: { steps: 300, options: { lr: 0.01 } },
    rastrigin: { steps: 300, options: { lr: 0.003 } },
  },
});

it('the README’s example runs', async () => {
  expect(await runReadme(new URL('../README.md', import.meta.url))).toBe(1);
});
