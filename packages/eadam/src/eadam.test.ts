import { referenceRunFiles } from '@adakit/fixtures';
import { runReadme } from '@adakit/testing';
import { describeOptimizer } from '@adakit/testing/vitest';
import { expect, it } from 'vitest';
import { eadam } from './eadam.js';

describeOptimizer(eadam, {
  references: referenceRunFiles('eadam'),
  hash: 'd2eb454fdf22ca186295489ca4a22d05',
  slots: [[{}, { expAvg: { of: 'mean(grad)', decay: 'beta1' }, expAvgSq: { of: 'mean(grad^2) + eps' } }]],
  refuses: [[{ lr: 0 }, 'eadam: lr must be > 0, got 0']],
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
