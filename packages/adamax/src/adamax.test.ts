import { referenceRunFiles } from '@adakit/fixtures';
import { runReadme } from '@adakit/testing';
import { describeOptimizer } from '@adakit/testing/vitest';
import { expect, it } from 'vitest';
import { adamax } from './adamax.js';

describeOptimizer(adamax, {
  references: referenceRunFiles('adamax'),
  hash: '8ca2ca03f6eded4415b45148c1e1fc27',
  slots: [[{}, { expAvg: { of: 'mean(grad)', decay: 'beta1' }, expInf: { of: 'max(decaying |grad|)' } }]],
  refuses: [[{ lr: 0 }, 'adamax: lr must be > 0, got 0']],
  converges: {
    parabola: { steps: 300, options: { lr: 0.3 } },
    rosenbrock: { steps: 1000, options: { lr: 1 } },
    beale: { steps: 300, options: { lr: 1 } },
    rastrigin: { steps: 300, options: { lr: 0.3 } },
  },
});

it('the README’s example runs', async () => {
  expect(await runReadme(new URL('../README.md', import.meta.url))).toBe(1);
});
