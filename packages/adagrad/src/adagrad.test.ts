import { referenceRunFiles } from '@adakit/fixtures';
import { runReadme } from '@adakit/testing';
import { describeOptimizer } from '@adakit/testing/vitest';
import { expect, it } from 'vitest';
import { adagrad } from './adagrad.js';

describeOptimizer(adagrad, {
  references: referenceRunFiles('adagrad'),
  hash: 'c760dd500388694834145f1b1010e88e',
  slots: [[{}, { sum: { of: 'sum(grad^2)' } }]],
  refuses: [[{ lr: 0 }, 'adagrad: lr must be > 0, got 0']],
  converges: {
    parabola: { steps: 300, options: { lr: 10 } },
    rosenbrock: { steps: 1000, options: { lr: 1 } },
    beale: { steps: 300, options: { lr: 1 } },
    rastrigin: { steps: 300, options: { lr: 0.1 } },
  },
});

it('the README’s example runs', async () => {
  expect(await runReadme(new URL('../README.md', import.meta.url))).toBe(1);
});
