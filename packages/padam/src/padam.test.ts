import { referenceRunFiles } from '@adakit/fixtures';
import { runReadme } from '@adakit/testing';
import { describeOptimizer } from '@adakit/testing/vitest';
import { expect, it } from 'vitest';
import { padam } from './padam.js';

describeOptimizer(padam, {
  references: referenceRunFiles('padam'),
  hash: '00e3ec5e1ebfc3c85cf490ee5e89faf4',
  slots: [[{}, { expAvg: { of: 'mean(grad)', decay: 'beta1' }, expAvgSq: { of: 'mean(grad^2)', decay: 'beta2' } }]],
  refuses: [[{ lr: 0 }, 'padam: lr must be > 0, got 0']],
  converges: {
    parabola: { steps: 300, options: { lr: 1 } },
    rosenbrock: { steps: 300, options: { lr: 0.3 } },
    beale: { steps: 300, options: { lr: 0.3 } },
    rastrigin: { steps: 300, options: { lr: 0.3 } },
  },
});

it('the README’s example runs', async () => {
  expect(await runReadme(new URL('../README.md', import.meta.url))).toBe(1);
});
