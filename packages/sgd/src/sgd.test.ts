import { goldenFiles } from '@adakit/fixtures';
import { runReadme, takeSteps } from '@adakit/testing';
import { describeOptimizer, ruleHash } from '@adakit/testing/vitest';
import { describe, expect, it } from 'vitest';
import { sgd } from './sgd.js';

describeOptimizer(sgd, {
  trajectories: goldenFiles(),
  required: { lr: 0.1 },
  hash: '38409c24c91320acda9de8e9edc19339',
  slots: [
    [{}, {}],
    [{ momentum: 0.9 }, { momentumBuffer: { of: 'sum(grad)' } }],
  ],
  refuses: [
    [{ lr: undefined }, 'sgd: lr is required'],
    [{ lr: -1 }, 'sgd: lr must be > 0, got -1'],
    [{ momentun: 0.9 }, 'unknown hyperparameter "momentun", did you mean "momentum"?'],
  ],
  converges: {
    // Curvatures 1 and 10: with 2/(1 + 10) both directions shrink by 9/11 a step, and (9/11)²ⁿ < 0.01 from n = 12 on.
    parabola: { steps: 12, options: { lr: 2 / 11 } },
    // Stable with momentum μ up to 2(1 + μ)/curvature, which is 1330 at the start: up to 0.0028.
    rosenbrock: { steps: 300, options: { lr: 0.001, momentum: 0.9 } },
    beale: { steps: 300, options: { lr: 0.01, momentum: 0.9 } },
    // Curvatures are at most 2 + 40π² = 397, without momentum stable up to 0.005.
    rastrigin: { steps: 12, options: { lr: 0.002 } },
  },
});

describe('sgd', () => {
  it('without momentum keeps nothing and steps by lr·g', async () => {
    const states = await takeSteps(sgd({ lr: 0.1 }), [1, -2], [[3, 4]]);
    expect(states).toEqual([{ param: [1 - 3 * 0.1, -2 - 4 * 0.1], slots: {} }]);
  });

  it('starts its momentum with the whole gradient, dampened only from the second step', async () => {
    const optimizer = sgd({ lr: 0.1, momentum: 0.9, dampening: 0.25 });
    const [first, second] = await takeSteps(optimizer, [0], [[2], [4]]);
    expect(first).toEqual({ param: [-0.2], slots: { momentumBuffer: [2] } });
    expect(second.slots.momentumBuffer).toEqual([2 * 0.9 + 4 * 0.75]);
  });

  it('looks ahead with nesterov: the first step is lr·(1 + momentum)·g', async () => {
    const [{ param }] = await takeSteps(sgd({ lr: 0.1, momentum: 0.9, nesterov: true }), [0], [[2]]);
    expect(param[0]).toBeCloseTo(-0.1 * 1.9 * 2, 15);
  });

  it('adds the decay to the gradient', async () => {
    expect((await takeSteps(sgd({ lr: 0.1, weightDecay: 0.5 }), [4], [[0]]))[0].param).toEqual([4 - 4 * 0.5 * 0.1]);
  });

  it('nesterov and dampening without momentum change nothing', () => {
    expect(ruleHash(sgd({ lr: 1, nesterov: true, dampening: 0.5 }))).toBe(ruleHash(sgd({ lr: 1 })));
  });
});

it('the README’s example runs', async () => {
  expect(await runReadme(new URL('../README.md', import.meta.url))).toBe(1);
});
