import { referenceRunFiles } from '@adakit/fixtures';
import { runReadme } from '@adakit/testing';
import { describeOptimizer } from '@adakit/testing/vitest';
import { expect, it } from 'vitest';
import { signsgd } from './signsgd.js';

describeOptimizer(signsgd, {
  references: referenceRunFiles('signsgd'),
  hash: '52e59eb7ea9604470f67663955a4531e',
  slots: [[{}, { expAvg: { of: 'mean(grad)', decay: 'momentum' } }]],
  refuses: [[{ lr: 0 }, 'signsgd: lr must be > 0, got 0']],
  converges: {
    parabola: { steps: 300, options: { lr: 0.01 } },
    rosenbrock: { steps: 300, options: { lr: 0.01 } },
    beale: { steps: 300, options: { lr: 0.01 } },
    rastrigin: { steps: 300, options: { lr: 0.03 } },
  },
});

it('the README’s example runs', async () => {
  expect(await runReadme(new URL('../README.md', import.meta.url))).toBe(1);
});
