import { referenceRunFiles } from '@adakit/fixtures';
import { runReadme } from '@adakit/testing';
import { describeOptimizer } from '@adakit/testing/vitest';
import { expect, it } from 'vitest';
import { soap } from './soap.js';

describeOptimizer(soap, {
  references: referenceRunFiles('soap'),
  hash: 'ce979fd0953f60e8a868f7e5de7b81f0',
  slots: [
    [
      {},
      {
        expAvg: undefined,
        expAvgSq: undefined,
        left: { of: 'mean(inner products of grad)' },
        right: { of: 'mean(inner products of grad)' },
        leftBasis: { of: 'eigenbasis of inner products of grad' },
        rightBasis: { of: 'eigenbasis of inner products of grad' },
      },
    ],
  ],
  refuses: [[{ lr: 0 }, 'soap: lr must be > 0, got 0']],
  converges: {
    parabola: { steps: 300, options: { lr: 0.1, weightDecay: 0 } },
    rosenbrock: { steps: 1000, options: { lr: 0.05, weightDecay: 0 } },
    beale: { steps: 300, options: { lr: 0.1, weightDecay: 0 } },
    rastrigin: { steps: 300, options: { lr: 0.03, weightDecay: 0 } },
  },
});

it('the README’s example runs', async () => {
  expect(await runReadme(new URL('../README.md', import.meta.url))).toBe(1);
});
