import { jsDevice, Run, tensor32 } from '@adakit/core';
import { referenceRunFiles } from '@adakit/fixtures';
import { runReadme } from '@adakit/testing';
import { describeOptimizer } from '@adakit/testing/vitest';
import { expect, it } from 'vitest';
import { scheduleFreeAdamW, scheduleFreeSgd } from './schedule-free.js';

describeOptimizer(scheduleFreeAdamW, {
  references: referenceRunFiles('schedule-free-adamw'),
  hash: '53af2faec5caf1f90bb143a3a734a569',
  slots: [[{}, { z: { of: 'iterate(param)' }, expAvgSq: { of: 'mean(grad^2)', decay: 'beta2' } }]],
  refuses: [[{ lr: 0 }, 'scheduleFreeAdamW: lr must be > 0, got 0']],
  converges: {
    parabola: { steps: 300, options: { lr: 10 } },
    rosenbrock: { steps: 300, options: { lr: 0.3 } },
    beale: { steps: 300, options: { lr: 0.3 } },
    rastrigin: { steps: 300, options: { lr: 0.1 } },
  },
});
describeOptimizer(scheduleFreeSgd, {
  references: referenceRunFiles('schedule-free-sgd'),
  hash: 'f0b40bb6f7d976ba42b3040d95c1c98e',
  slots: [[{}, { z: { of: 'iterate(param)' } }]],
  refuses: [[{ lr: 0 }, 'scheduleFreeSgd: lr must be > 0, got 0']],
  converges: {
    parabola: { steps: 300, options: { lr: 1 } },
    beale: { steps: 300, options: { lr: 0.03 } },
    rastrigin: { steps: 300, options: { lr: 0.01 } },
  },
});

it('evaluates the average unless told otherwise', () => {
  const run = Run.start(jsDevice(), scheduleFreeAdamW(), { w: tensor32([1]) });
  expect([run.views, run.defaultView]).toEqual([['trained', 'averaged'], 'averaged']);
});

it('the README’s example runs', async () => {
  expect(await runReadme(new URL('../README.md', import.meta.url))).toBe(1);
});
