import { goldenFiles } from '@adakit/fixtures';
import { runReadme, takeSteps } from '@adakit/testing';
import { describeOptimizer } from '@adakit/testing/vitest';
import { describe, expect, it } from 'vitest';
import { adam } from './adam.js';
import { adamw } from './adamw.js';

const averages = {
  expAvg: { of: 'mean(grad)', decay: 'beta1' },
  expAvgSq: { of: 'mean(grad^2)', decay: 'beta2' },
};
describeOptimizer(adam, {
  trajectories: goldenFiles(),
  hash: '03373ab6ea18c5245b4c05f85ee7cf05',
  slots: [
    [{}, averages],
    [{ amsgrad: true }, { ...averages, maxExpAvgSq: { of: 'max(mean(grad^2))', decay: 'beta2', joinsLate: true } }],
  ],
  refuses: [
    [{ lr: -1 }, 'adam: lr must be > 0, got -1'],
    [{ beta2: 1 }, 'adam: beta2 must be >= 0 and < 1, got 1'],
    [{ eps: -1 }, 'adam: eps must be >= 0, got -1'],
    [
      { beta_1: 0.9, weightdecay: 0 },
      'adam: unknown hyperparameter "beta_1", did you mean "beta1"?; unknown hyperparameter "weightdecay", did you mean "weightDecay"?',
    ],
  ],
  // A step is about lr long, whatever the gradient, and the way from the start about 3 for the first three, 0.35 for the last:
  // ten times as many steps as the way has, thirty times in Rosenbrock's bent valley.
  converges: {
    parabola: { steps: 300, options: { lr: 0.1 } },
    rosenbrock: { steps: 1000, options: { lr: 0.1 } },
    beale: { steps: 300, options: { lr: 0.1 } },
    rastrigin: { steps: 350, options: { lr: 0.01 } },
  },
});

const gradients = [
  [1, -2],
  [0.5, 0],
  [-3, 1e-4],
  [0, 10],
];

describe('adam', () => {
  it('first steps by lr against the gradient, whatever its size', async () => {
    const [{ param }] = await takeSteps(adam({ lr: 0.01, eps: 0 }), [0, 0, 0], [[1e-6, -1, 1e6]]);
    param.forEach((x, i) => {
      expect(x).toBeCloseTo([-0.01, 0.01, -0.01][i], 15);
    });
  });

  it('keeps ε outside the bias-corrected root', async () => {
    const [{ param }] = await takeSteps(adam({ lr: 1, eps: 0.5 }), [0], [[2]]);
    expect(param[0]).toBeCloseTo(-2 / (2 + 0.5), 15);
  });

  it('with amsgrad never lets the second moment that divides fall', async () => {
    const states = await takeSteps(adam({ amsgrad: true, beta2: 0.5 }), [0], [[4], [1], [0], [8], [0]]);
    const moments = states.map(({ slots }) => slots.expAvgSq[0]);
    const maxima = states.map(({ slots }) => slots.maxExpAvgSq[0]);
    expect(maxima).toEqual(moments.map((_, t) => Math.max(...moments.slice(0, t + 1))));
    expect(moments[1]).toBeLessThan(moments[0]);
  });

  it('adds coupled decay to the gradient', async () => {
    const [{ slots }] = await takeSteps(adam({ weightDecay: 0.5 }), [4], [[1]]);
    expect(slots.expAvg[0]).toBeCloseTo((1 - 0.9) * (1 + 0.5 * 4), 15);
  });
});

describe('adamw', () => {
  it('is Adam with decoupled decay, 0.01 unless told otherwise', () => {
    expect(adamw().hyperparameters).toEqual(adam({ weightDecay: 0.01, weightDecouple: true }).hyperparameters);
    expect(adamw({ lr: 0.5, weightDecay: 0.1 }).hyperparameters).toMatchObject({ lr: 0.5, weightDecay: 0.1 });
  });

  it('without decay is Adam, to the last bit', async () => {
    expect(await takeSteps(adamw({ weightDecay: 0 }), [1, 1], gradients)).toEqual(
      await takeSteps(adam(), [1, 1], gradients),
    );
  });

  it('shrinks the parameter by 1 − lr·λ a step where there is no gradient, and keeps the decay out of the moments', async () => {
    const states = await takeSteps(adamw({ lr: 0.1, weightDecay: 0.5 }), [4], [[0], [0]]);
    expect(states.map(({ param }) => param[0])).toEqual([4 * 0.95, 4 * 0.95 * 0.95]);
    expect(states[1].slots).toEqual({ expAvg: [0], expAvgSq: [0] });
  });
});

it('what is no object of options is refused', () => {
  expect(() => adamw(0.1 as never)).toThrow('adam: hyperparameters must be an object, got 0.1');
  expect(() => adamw(null as never)).toThrow('adam: hyperparameters must be an object, got null');
});

it('the README’s example runs', async () => {
  expect(await runReadme(new URL('../README.md', import.meta.url))).toBe(1);
});
