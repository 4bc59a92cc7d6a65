import { referenceDevice, Run, tensor32 } from '@adakit/core';
import { referenceRunFiles } from '@adakit/fixtures';
import { runReadme } from '@adakit/testing';
import { describeOptimizer } from '@adakit/testing/vitest';
import { expect, it } from 'vitest';
import { rmsprop } from './rmsprop.js';

describeOptimizer(rmsprop, {
  references: referenceRunFiles('rmsprop'),
  hash: '83f527e7f649eed7833f6e3c5be1410e',
  slots: [[{}, { squareAvg: { of: 'mean(grad^2)', decay: 'alpha' } }]],
  refuses: [[{ lr: 0 }, 'rmsprop: lr must be > 0, got 0']],
  converges: {
    parabola: { steps: 300, options: { lr: 0.1 } },
    rosenbrock: { steps: 1000, options: { lr: 0.01 } },
    beale: { steps: 300, options: { lr: 0.03 } },
    rastrigin: { steps: 300, options: { lr: 0.01 } },
  },
});

it('divides by the root mean square of the gradient', async () => {
  const run = Run.start(referenceDevice(), rmsprop({ lr: 1, alpha: 0, eps: 0 }), { w: tensor32([0, 0]) });
  await run.applyGradients({ w: tensor32([1e-3, -100]) });
  expect([...(await run.weights()).w.data]).toEqual([-1, 1]);
});

it('the README’s example runs', async () => {
  expect(await runReadme(new URL('../README.md', import.meta.url))).toBe(1);
});
