import { referenceRunFiles } from '@adakit/fixtures';
import { runReadme } from '@adakit/testing';
import { describeOptimizer } from '@adakit/testing/vitest';
import { expect, it } from 'vitest';
import { radam } from './radam.js';

describeOptimizer(radam, {
  references: referenceRunFiles('radam'),
  hash: '48b1c8304a7093fae6b588ed0b8abf60',
  slots: [[{}, { expAvg: { of: 'mean(grad)', decay: 'beta1' }, expAvgSq: { of: 'mean(grad^2)', decay: 'beta2' } }]],
  refuses: [[{ lr: 0 }, 'radam: lr must be > 0, got 0']],
  converges: {
    parabola: { steps: 300, options: { lr: 0.3 } },
    beale: { steps: 1000, options: { lr: 0.03 } },
    rastrigin: { steps: 300, options: { lr: 0.01 } },
  },
});

it('the README’s example runs', async () => {
  expect(await runReadme(new URL('../README.md', import.meta.url))).toBe(1);
});
