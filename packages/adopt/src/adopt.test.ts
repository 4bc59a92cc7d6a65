import { referenceRunFiles } from '@adakit/fixtures';
import { runReadme } from '@adakit/testing';
import { describeOptimizer } from '@adakit/testing/vitest';
import { expect, it } from 'vitest';
import { adopt } from './adopt.js';

describeOptimizer(adopt, {
  references: referenceRunFiles('adopt'),
  hash: '0282bbcca0e477b67d4427b396150472',
  slots: [[{}, { expAvg: { of: 'mean(grad / rms(grad))' }, expAvgSq: { of: 'mean(grad^2) from the first' } }]],
  refuses: [[{ lr: 0 }, 'adopt: lr must be > 0, got 0']],
  converges: {
    parabola: { steps: 300, options: { lr: 10 } },
    rosenbrock: { steps: 300, options: { lr: 1 } },
    beale: { steps: 300, options: { lr: 0.3 } },
    rastrigin: { steps: 300, options: { lr: 0.1 } },
  },
});

it('the README’s example runs', async () => {
  expect(await runReadme(new URL('../README.md', import.meta.url))).toBe(1);
});
