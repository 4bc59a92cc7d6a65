import { referenceDevice, Run, tensor32 } from '@adakit/core';
import { referenceRunFiles } from '@adakit/fixtures';
import { runReadme } from '@adakit/testing';
import { describeOptimizer } from '@adakit/testing/vitest';
import { expect, it } from 'vitest';
import { lamb } from './lamb.js';

describeOptimizer(lamb, {
  references: referenceRunFiles('lamb'),
  hash: 'ce3a88e96a1b75947891835c09f26761',
  slots: [[{}, { expAvg: { of: 'mean(grad)', decay: 'beta1' }, expAvgSq: { of: 'mean(grad^2)', decay: 'beta2' } }]],
  refuses: [[{ lr: 0 }, 'lamb: lr must be > 0, got 0']],
  converges: {
    parabola: { steps: 300, options: { lr: 0.1 } },
    beale: { steps: 300, options: { lr: 0.01 } },
    rastrigin: { steps: 300, options: { lr: 0.3 } },
  },
});

it('moves a parameter by lr times its own length', async () => {
  const run = Run.start(referenceDevice(), lamb({ lr: 0.1 }), { w: tensor32([3, 4]) });
  await run.applyGradients({ w: tensor32([1e-3, 100]) });
  const { data } = (await run.weights()).w;
  expect(Math.hypot(data[0] - 3, data[1] - 4)).toBeCloseTo(0.1 * 5, 6);
});

it('the README’s example runs', async () => {
  expect(await runReadme(new URL('../README.md', import.meta.url))).toBe(1);
});
