import { goldenFiles } from '@adakit/fixtures';
import { runReadme, takeSteps } from '@adakit/testing';
import { describeOptimizer } from '@adakit/testing/vitest';
import { describe, expect, it } from 'vitest';
import { adadiff } from './adadiff.js';

const averages = {
  expAvg: { of: 'mean(grad)', decay: 'beta1' },
  expAvgSq: { of: 'mean(grad^2)', decay: 'beta2' },
};
const kept = {
  ...averages,
  prevGrad: { of: 'previous(grad)', joinsLate: true },
};
describeOptimizer(adadiff, {
  trajectories: goldenFiles(),
  hash: 'ef7d348acf9755f273d36056ccf67e62',
  slots: [
    [{}, kept],
    [{ amsgrad: true }, { ...kept, maxExpAvgSq: { of: 'max(mean(grad^2))', decay: 'beta2', joinsLate: true } }],
  ],
  refuses: [
    [{ lr: 0 }, 'adadiff: lr must be > 0, got 0'],
    [{ beta1: 1 }, 'adadiff: beta1 must be >= 0 and < 1, got 1'],
    [{ weightDecouple: true }, 'adadiff: unknown hyperparameter "weightDecouple"'],
  ],
  // A step is at most about lr long, whatever the gradient, and the way from the start about 3 for the first three, 0.35 for the last:
  // ten times as many steps as the way has, thirty times in Rosenbrock's bent valley.
  converges: {
    parabola: { steps: 300, options: { lr: 0.1 } },
    rosenbrock: { steps: 1000, options: { lr: 0.1 } },
    beale: { steps: 300, options: { lr: 0.1 } },
    rastrigin: { steps: 350, options: { lr: 0.01 } },
  },
});

describe('adadiff', () => {
  it('keeps ε in the second moment, where it accumulates to ε/(1 − β₂) after bias correction', async () => {
    const [eps, beta2] = [1e-4, 0.9];
    const states = await takeSteps(adadiff({ eps, beta2 }), [1], Array<number[]>(30).fill([0]));
    states.forEach(({ slots }, i) => {
      expect(slots.expAvgSq[0] / (1 - beta2 ** (i + 1)) / (eps / (1 - beta2))).toBeCloseTo(1, 14);
    });
  });

  it('counts the first gradient as a change from zero: the first step is lr/√2', async () => {
    const [{ param, slots }] = await takeSteps(adadiff({ lr: 0.01, eps: 0 }), [0, 0], [[5, -1e-3]]);
    expect(param[0]).toBeCloseTo(-0.01 / Math.SQRT2, 15);
    expect(param[1]).toBeCloseTo(0.01 / Math.SQRT2, 15);
    expect(slots.prevGrad).toEqual([5, -1e-3]);
  });

  it('averages the squared gradient and its squared change', async () => {
    const [beta2, eps] = [0.75, 0.125];
    const [first, second] = await takeSteps(adadiff({ beta2, eps }), [0], [[2], [6]]);
    expect(first.slots.expAvgSq[0]).toBe(0.25 * 4 + 0.25 * 4 + eps);
    expect(second.slots.expAvgSq[0]).toBe(0.75 * first.slots.expAvgSq[0] + 0.25 * 36 + 0.25 * (6 - 2) ** 2 + eps);
  });

  it('has the larger second moment where the gradient alternates than where it is steady', async () => {
    const steady = await takeSteps(adadiff(), [0], Array<number[]>(20).fill([1]));
    const alternating = await takeSteps(
      adadiff(),
      [0],
      Array.from({ length: 20 }, (_, t) => [t % 2 ? -1 : 1]),
    );
    expect(alternating[19].slots.expAvgSq[0]).toBeGreaterThan(2 * steady[19].slots.expAvgSq[0]);
  });

  it('remembers the gradient with the decay in it', async () => {
    expect((await takeSteps(adadiff({ weightDecay: 0.5 }), [4], [[1]]))[0].slots.prevGrad).toEqual([3]);
  });

  it('with amsgrad adds ε to the maximum instead, which grows by at least ε a step', async () => {
    const eps = 0.125;
    const states = await takeSteps(adadiff({ amsgrad: true, eps }), [0], [[1], [0], [0], [0]]);
    const plain = await takeSteps(adadiff({ eps: 0 }), [0], [[1], [0], [0], [0]]);
    expect(states.map(({ slots }) => slots.expAvgSq)).toEqual(plain.map(({ slots }) => slots.expAvgSq));
    const maxima = states.map(({ slots }) => slots.maxExpAvgSq[0]);
    maxima.slice(1).forEach((maximum, t) => {
      expect(maximum).toBeGreaterThanOrEqual(maxima[t] + eps);
    });
  });
});

it('the README’s example runs', async () => {
  expect(await runReadme(new URL('../README.md', import.meta.url))).toBe(1);
});
