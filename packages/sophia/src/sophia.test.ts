import { jsDevice, lossScaling, Run, tensor32 } from '@adakit/core';
import { referenceRunFiles } from '@adakit/fixtures';
import { runReadme } from '@adakit/testing';
import { describeOptimizer } from '@adakit/testing/vitest';
import { expect, it } from 'vitest';
import { sophia } from './sophia.js';

describeOptimizer(sophia, {
  references: referenceRunFiles('sophia'),
  hash: '68f03c18846655f1ff6130fe837dc10a',
  slots: [
    [
      {},
      {
        expAvg: { of: 'mean(grad)', decay: 'beta1' },
        hessian: { of: 'mean(squared gradient of drawn labels)', decay: 'beta2', joinsLate: true },
      },
    ],
  ],
  refuses: [[{ lr: 0 }, 'sophia: lr must be > 0, got 0']],
  converges: {
    parabola: { steps: 300, options: { lr: 0.03, weightDecay: 0 } },
    rosenbrock: { steps: 3000, options: { lr: 0.03, weightDecay: 0 } },
    beale: { steps: 300, options: { lr: 0.03, weightDecay: 0 } },
    rastrigin: { steps: 300, options: { lr: 0.01, weightDecay: 0 } },
  },
});

it('the README’s example runs', async () => {
  expect(await runReadme(new URL('../README.md', import.meta.url))).toBe(1);
});

it('refuses a loss that is scaled, unless the gradient itself is the estimate', () => {
  const start = (optimizer = sophia()) => Run.start(jsDevice(), lossScaling(optimizer), { theta: tensor32([1]) });
  expect(() => start()).toThrow('sophia and lossScaling() cannot be combined');
  expect(start(sophia({ estimator: 'gradient' })).needsEstimate).toBe(false);
});
