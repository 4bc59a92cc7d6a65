import { jsDevice, Run, tensor32 } from '@adakit/core';
import { referenceRunFiles } from '@adakit/fixtures';
import { runReadme } from '@adakit/testing';
import { describeOptimizer } from '@adakit/testing/vitest';
import { expect, it } from 'vitest';
import { lion } from './lion.js';

describeOptimizer(lion, {
  references: referenceRunFiles('lion'),
  hash: '03416204a4a22d598b5135f34224e43a',
  slots: [[{}, { expAvg: { of: 'mean(grad)', decay: 'beta2' } }]],
  refuses: [[{ lr: 0 }, 'lion: lr must be > 0, got 0']],
  converges: {
    parabola: { steps: 300, options: { lr: 0.1 } },
    rosenbrock: { steps: 300, options: { lr: 0.01 } },
    beale: { steps: 300, options: { lr: 0.01 } },
    rastrigin: { steps: 300, options: { lr: 0.03 } },
  },
});

it('moves every element by lr, whatever the size of its gradient', async () => {
  const run = Run.start(jsDevice(), lion({ lr: 0.5 }), { w: tensor32([1, 1, 1]) });
  await run.applyGradients({ w: tensor32([1e-6, -3, 0]) });
  expect([...(await run.weights()).w.data]).toEqual([0.5, 1.5, 1]);
});

it('the README’s example runs', async () => {
  expect(await runReadme(new URL('../README.md', import.meta.url))).toBe(1);
});
