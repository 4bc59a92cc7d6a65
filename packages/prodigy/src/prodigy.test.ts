import { jsDevice, referenceDevice, Run, tensor32 } from '@adakit/core';
import { referenceRunFiles } from '@adakit/fixtures';
import { runReadme } from '@adakit/testing';
import { describeOptimizer } from '@adakit/testing/vitest';
import { expect, it } from 'vitest';
import { prodigy } from './prodigy.js';

describeOptimizer(prodigy, {
  references: referenceRunFiles('prodigy'),
  hash: 'b42d3de9a976dc755d67be5b191cde72',
  slots: [
    [
      {},
      {
        expAvg: { of: 'mean(grad) in units of d', decay: 'beta1' },
        expAvgSq: { of: 'mean(grad^2) in units of d', decay: 'beta2' },
        s: { of: "Prodigy's s" },
        p0: { of: 'start(param)' },
      },
    ],
  ],
  refuses: [[{ lr: 0 }, 'prodigy: lr must be > 0, got 0']],
  converges: {
    parabola: { steps: 300, options: { lr: 10 } },
    rosenbrock: { steps: 300, options: { lr: 0.3 } },
    beale: { steps: 300, options: { lr: 0.3 } },
    rastrigin: { steps: 300, options: { lr: 1 } },
  },
});

it('reports its estimate d, which starts at d0', async () => {
  const run = Run.start(referenceDevice(), prodigy({ d0: 0.01 }), { w: tensor32([1]) });
  expect((await run.globals()).d).toBe(0.01);
});

it('moves nothing while all gradients are zero', async () => {
  const run = Run.start(jsDevice(), prodigy({ weightDecay: 0.1 }), { w: tensor32([1]) });
  await run.applyGradients({ w: tensor32([0]) });
  expect([...(await run.weights()).w.data]).toEqual([1]);
});

it('the README’s example runs', async () => {
  expect(await runReadme(new URL('../README.md', import.meta.url))).toBe(1);
});
