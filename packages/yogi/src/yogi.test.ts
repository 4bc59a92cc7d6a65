import { referenceRunFiles } from '@adakit/fixtures';
import { runReadme } from '@adakit/testing';
import { describeOptimizer } from '@adakit/testing/vitest';
import { expect, it } from 'vitest';
import { yogi } from './yogi.js';

describeOptimizer(yogi, {
  references: referenceRunFiles('yogi'),
  hash: '62b3a70bf1c4fff249dcfd18e5071f43',
  slots: [[{}, { expAvg: { of: 'mean(grad) from a start' }, expAvgSq: { of: 'yogi(grad^2)' } }]],
  refuses: [[{ lr: 0 }, 'yogi: lr must be > 0, got 0']],
  converges: {
    parabola: { steps: 300, options: { lr: 0.3 } },
    rosenbrock: { steps: 300, options: { lr: 1 } },
    beale: { steps: 300, options: { lr: 1 } },
    rastrigin: { steps: 300, options: { lr: 0.03 } },
  },
});

it('the README’s example runs', async () => {
  expect(await runReadme(new URL('../README.md', import.meta.url))).toBe(1);
});
