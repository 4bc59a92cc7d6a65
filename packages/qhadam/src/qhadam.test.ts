import { referenceRunFiles } from '@adakit/fixtures';
import { runReadme } from '@adakit/testing';
import { describeOptimizer } from '@adakit/testing/vitest';
import { expect, it } from 'vitest';
import { qhadam } from './qhadam.js';

describeOptimizer(qhadam, {
  references: referenceRunFiles('qhadam'),
  hash: 'a070b6a9276b5c292444f495cc54e444',
  slots: [[{}, { expAvg: { of: 'mean(grad)', decay: 'beta1' }, expAvgSq: { of: 'mean(grad^2)', decay: 'beta2' } }]],
  refuses: [[{ lr: 0 }, 'qhadam: lr must be > 0, got 0']],
  converges: {
    parabola: { steps: 300, options: { lr: 0.3 } },
    rosenbrock: { steps: 300, options: { lr: 1 } },
    beale: { steps: 300, options: { lr: 0.3 } },
    rastrigin: { steps: 300, options: { lr: 0.1 } },
  },
});

it('the README’s example runs', async () => {
  expect(await runReadme(new URL('../README.md', import.meta.url))).toBe(1);
});
