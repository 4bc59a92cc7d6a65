import { referenceDevice, Run } from '@adakit/core';
import { goldenFiles } from '@adakit/fixtures';
import { runReadme, takeSteps } from '@adakit/testing';
import { describeOptimizer } from '@adakit/testing/vitest';
import { describe, expect, it } from 'vitest';
import { adabound } from './adabound.js';

const averages = {
  expAvg: { of: 'mean(grad)', decay: 'beta1' },
  expAvgSq: { of: 'mean(grad^2)', decay: 'beta2' },
};
describeOptimizer(adabound, {
  trajectories: goldenFiles(),
  hash: '76ead4194fdcde788c1e7343a1a0ee53',
  slots: [
    [{}, averages],
    [{ amsbound: true }, { ...averages, maxExpAvgSq: { of: 'max(mean(grad^2))', decay: 'beta2', joinsLate: true } }],
  ],
  refuses: [
    [
      { gamma: 0 },
      'adabound: gamma must be > 0, got 0 (the upper bound is finalLr * (1 + 1 / (gamma * step)), so 0 divides by zero)',
    ],
    [
      { lr: 0 },
      'adabound: lr must be > 0, got 0 (the bounds are scaled by lr over its first value, so 0 divides by zero)',
    ],
    [{ finalLr: 0 }, 'adabound: finalLr must be > 0, got 0'],
    [{ final_lr: 0.1 }, 'adabound: unknown hyperparameter "final_lr", did you mean "finalLr"?'],
  ],
  // Between the bounds a step is about lr long, whatever the gradient, and the way from the start about 3 for the first three, 0.35 for the last:
  // ten times as many steps as the way has, thirty times in Rosenbrock's bent valley.
  converges: {
    parabola: { steps: 300, options: { lr: 0.1 } },
    // As SGD's: with curvatures of 1330 finalLr = 0.1 would throw it out of the valley.
    rosenbrock: { steps: 1000, options: { lr: 0.1, finalLr: 0.01 } },
    beale: { steps: 300, options: { lr: 0.1 } },
    rastrigin: { steps: 350, options: { lr: 0.01 } },
  },
});

const options = { lr: 0.5, beta1: 0.5, beta2: 0.75, finalLr: 0.25, eps: 0 };

describe('adabound', () => {
  it('limits every element’s rate to finalLr·(1 − 1/(γt + 1)) … finalLr·(1 + 1/(γt))', async () => {
    const gamma = 0.5;
    // η(√c₂/c₁)/√v at t = 1 is lr/(c₁|g|) = 1/|g|: below, within and above the bounds.
    const [{ param, slots }] = await takeSteps(adabound({ ...options, gamma }), [0, 0, 0], [[100, 2, 0.01]]);
    const [lower, upper] = [0.25 * (1 - 1 / (gamma + 1)), 0.25 * (1 + 1 / gamma)];
    const rates = param.map((x, i) => -x / slots.expAvg[i]);
    [lower, 1 / 2, upper].forEach((rate, i) => {
      expect(rates[i]).toBeCloseTo(rate, 14);
    });
  });

  it('becomes SGD with momentum and the rate finalLr', async () => {
    // With γ = 1e12 the bounds have closed in to 1e-12 from the first step on.
    const states = await takeSteps(adabound({ ...options, gamma: 1e12 }), [0], [[1], [-3], [0.1]]);
    let theta = 0;
    for (const { param, slots } of states) {
      theta -= 0.25 * slots.expAvg[0];
      expect(param[0]).toBeCloseTo(theta, 10);
    }
  });

  it('scales the bounds with the learning rate over its first value', async () => {
    const first = adabound({ ...options, gamma: 1e12 });
    const [{ param: full }] = await takeSteps(first, [0], [[2]]);
    const [{ param: half }] = await takeSteps(first.with({ lr: options.lr / 2 }), [0], [[2]]);
    const [{ param: other }] = await takeSteps(adabound({ ...options, gamma: 1e12, lr: options.lr / 2 }), [0], [[2]]);
    expect(half[0]).toBeCloseTo(full[0] / 2, 15);
    expect(other[0]).toBeCloseTo(full[0], 10);
  });

  it('remembers the first learning rate across a resume', async () => {
    const first = Run.start(referenceDevice(), adabound({ lr: 0.1 }), {});
    first.setHyperparameters({ lr: 0.01 });
    const second = Run.start(referenceDevice(), adabound({ lr: 5 }), {});
    await second.load(await first.state());
    expect(second.optimizer.initial.lr).toBe(0.1);
    expect(second.optimizer.hyperparameters.lr).toBe(0.01);
  });

  it('rests at a scheduled learning rate of 0', async () => {
    expect((await takeSteps(adabound().with({ lr: 0 }), [3], [[1]]))[0].param).toEqual([3]);
  });

  it('with amsbound never lets the second moment that divides fall', async () => {
    const states = await takeSteps(adabound({ amsbound: true, beta2: 0.5 }), [0], [[4], [1], [0], [8]]);
    const moments = states.map(({ slots }) => slots.expAvgSq[0]);
    expect(states.map(({ slots }) => slots.maxExpAvgSq[0])).toEqual(
      moments.map((_, t) => Math.max(...moments.slice(0, t + 1))),
    );
  });

  it('decoupled, takes λ times the parameter before the step away, not scaled by lr', async () => {
    const gradients = [[1], [-2]];
    const [plain] = await takeSteps(adabound(), [4], gradients);
    const [decayed] = await takeSteps(adabound({ weightDecay: 0.25, weightDecouple: true }), [4], gradients);
    expect(decayed.param[0]).toBe(plain.param[0] - 4 * 0.25);
    expect(decayed.slots).toEqual(plain.slots);
  });

  it('adds coupled decay to the gradient', async () => {
    const [{ slots }] = await takeSteps(adabound({ weightDecay: 0.5, beta1: 0.5 }), [4], [[1]]);
    expect(slots.expAvg).toEqual([0.5 * 3]);
  });
});

it('the README’s example runs', async () => {
  expect(await runReadme(new URL('../README.md', import.meta.url))).toBe(1);
});
