import { goldenFiles } from '@adakit/fixtures';
import { runReadme, takeSteps } from '@adakit/testing';
import { describeOptimizer } from '@adakit/testing/vitest';
import { describe, expect, it } from 'vitest';
import { adabelief } from './adabelief.js';

const kept = {
  expAvg: { of: 'mean(grad)', decay: 'beta1' },
  expAvgVar: { of: 'mean((grad - mean(grad))^2)', decay: 'beta2' },
};
describeOptimizer(adabelief, {
  trajectories: goldenFiles(),
  hash: 'bf4c4616e01a081aafd179c170e92a47',
  slots: [
    [{}, kept],
    [
      { amsgrad: true },
      { ...kept, maxExpAvgVar: { of: 'max(mean((grad - mean(grad))^2))', decay: 'beta2', joinsLate: true } },
    ],
  ],
  refuses: [
    [
      { beta1: 0 },
      'adabelief: beta1 must be > 0 and < 1, got 0 (at 0 the mean equals the gradient and the step explodes)',
    ],
    [{ degenerated_to_sdg: true }, 'did you mean "degeneratedToSgd"?'],
  ],
  // Its first five steps are SGD's, lr times the gradient, until the variance is known. Rosenbrock's and Beale's functions are
  // too steep for that with a rate that Adam takes: a step of at most lr from the start there, or a smaller rate.
  converges: {
    parabola: { steps: 300, options: { lr: 0.1 } },
    rosenbrock: { steps: 1000, options: { lr: 0.1, rectify: false } },
    beale: { steps: 1000, options: { lr: 0.01 } },
    rastrigin: { steps: 350, options: { lr: 0.001 } },
  },
});

const gradients = Array.from({ length: 10 }, (_, t) => [Math.sin(t + 1), 0.5 + t / 100]);

/** Algorithm 2 of the paper and the rectification of RAdam, for one element, written out again. */
function rectifiedRun(start: number, gradients: readonly number[], sgdPhase: boolean): number[] {
  const [lr, beta1, beta2, eps] = [1e-3, 0.9, 0.999, 1e-16];
  let [theta, m, s] = [start, 0, 0];
  const rhoMax = 2 / (1 - beta2) - 1;
  return gradients.map((g, i) => {
    const t = i + 1;
    m = beta1 * m + (1 - beta1) * g;
    s = beta2 * s + (1 - beta2) * (g - m) ** 2 + eps;
    const rho = rhoMax - (2 * t * beta2 ** t) / (1 - beta2 ** t);
    const mean = m / (1 - beta1 ** t);
    if (rho >= 5) {
      const r = Math.sqrt(((rho - 4) * (rho - 2) * rhoMax) / ((rhoMax - 4) * (rhoMax - 2) * rho));
      theta -= (lr * r * mean * Math.sqrt(1 - beta2 ** t)) / (Math.sqrt(s) + eps);
    } else if (sgdPhase) theta -= lr * mean;
    return theta;
  });
}

describe('adabelief', () => {
  it.each([true, false])('rectifies from step 6 on, with degeneratedToSgd %s before', async (degeneratedToSgd) => {
    const states = await takeSteps(adabelief({ degeneratedToSgd }), [1, 1], gradients);
    for (const element of [0, 1]) {
      const expected = rectifiedRun(
        1,
        gradients.map((g) => g[element]),
        degeneratedToSgd,
      );
      states.forEach(({ param }, t) => {
        expect(param[element]).toBeCloseTo(expected[t], 14);
      });
    }
    const rested = states.filter(({ param }) => param[0] === 1).length;
    expect(rested).toBe(degeneratedToSgd ? 0 : 5);
  });

  it('takes decay and moments along while it does not step', async () => {
    const optimizer = adabelief({ degeneratedToSgd: false, lr: 0.1, weightDecay: 0.5 });
    const [first] = await takeSteps(optimizer, [4], [[1]]);
    expect(first.param).toEqual([4 * 0.95]);
    expect(first.slots.expAvg[0]).toBeCloseTo(0.1, 15);
  });

  it('never rectifies where the averages are too short for it', async () => {
    // ρ∞ = 2 / (1 − 0.5) − 1 = 3 < 5, and its factor would be the root of a negative number.
    const states = await takeSteps(adabelief({ beta2: 0.5, lr: 0.1 }), [0], Array<number[]>(20).fill([1]));
    states.forEach(({ param }, i) => {
      expect(param[0]).toBeCloseTo(-0.1 * (i + 1), 14);
    });
  });

  it('keeps ε in the belief, where it accumulates, and once more outside the root', async () => {
    const [eps, beta1, beta2, lr] = [0.01, 0.5, 0.9, 0.1];
    const optimizer = adabelief({ rectify: false, eps, beta1, beta2, lr });
    const [{ param, slots }] = await takeSteps(optimizer, [0], [[2]]);
    const s = (1 - beta2) * (2 - 1) ** 2 + eps;
    expect(slots.expAvgVar[0]).toBeCloseTo(s, 15);
    expect(param[0]).toBeCloseTo((-lr * 2) / (Math.sqrt(s / (1 - beta2)) + eps), 15);
  });

  it('with amsgrad divides by the largest belief, but not in rectified steps', async () => {
    const peaked = [[10], [0], [0], [0], [0], [0], [0], [0]];
    const last = async (options: Record<string, unknown>): Promise<number> =>
      (await takeSteps(adabelief.load(options), [0], peaked))[7].param[0];
    expect(await last({ amsgrad: true })).toBe(await last({}));
    const rectify = false;
    expect(Math.abs(await last({ amsgrad: true, rectify, beta2: 0.9 }))).toBeLessThan(
      Math.abs(await last({ rectify, beta2: 0.9 })),
    );
  });

  it.each([
    [{ weightDecay: 0.5 }, 4 * (1 - 0.1 * 0.5)],
    [{ weightDecay: 0.5, fixedDecay: true }, 4 * (1 - 0.5)],
    [{ fixedDecay: true }, 4],
  ])('decays apart from the gradient with %o', async (options, expected) => {
    const [{ param, slots }] = await takeSteps(adabelief({ lr: 0.1, ...options }), [4], [[0]]);
    expect(param).toEqual([expected]);
    expect(slots.expAvg).toEqual([0]);
  });

  it('adds coupled decay to the gradient', async () => {
    const [{ slots }] = await takeSteps(adabelief({ weightDecouple: false, weightDecay: 0.5 }), [4], [[0]]);
    expect(slots.expAvg[0]).toBeCloseTo(0.1 * 2, 15);
  });

  it('refuses beta1 = 0 at a step as well', () => {
    expect(() => adabelief().with({ beta1: 0 })).toThrow('adabelief: beta1 must be > 0 and < 1, got 0');
  });
});

it('the README’s example runs', async () => {
  expect(await runReadme(new URL('../README.md', import.meta.url))).toBe(1);
});
