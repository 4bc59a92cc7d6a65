import {
  biasCorrection,
  decayRate,
  defineOptimizer,
  epsilon,
  learningRate,
  movingAverage,
  positive,
  rectification,
  scalar,
  where,
} from '@adakit/core';
import { goldenFiles, referenceRunFiles } from '@adakit/fixtures';
import { optimizerChecks, type CheckedFactory, type OptimizerExpectations } from '@adakit/testing';
import { expect, it } from 'vitest';
import { optimizerByName } from './optimizer-by-name.js';

// Rules as they are ported wrongly again and again. Each is Adam's cousin, right but for the line that says what is wrong.

const moments = { lr: learningRate(1e-3), beta1: decayRate(0.9), beta2: decayRate(0.999), eps: epsilon(1e-8) };

const adabelief = defineOptimizer({
  name: 'adabelief',
  hyperparameters: { ...moments, eps: positive(1e-16) },
  slots: () => ['expAvg', 'expAvgVar'],
  update({ param, grad, slots, hyper: { lr, beta1, beta2, eps }, step }) {
    const expAvg = movingAverage(slots.expAvg, grad, beta1);
    // Without ε in what is kept: the paper adds it there, and once more under the root.
    const expAvgVar = movingAverage(slots.expAvgVar, grad.sub(expAvg).square(), beta2);
    const { defined, factor } = rectification(beta2, step);
    const [c1, c2] = [biasCorrection(beta1, step), biasCorrection(beta2, step).sqrt()];
    const rectified = expAvg.mul(lr.mul(factor).mul(c2).div(c1)).div(expAvgVar.sqrt().add(eps));
    return {
      param: param.sub(where(defined, rectified, expAvg.mul(lr.div(c1)))),
      slots: { expAvg, expAvgVar },
    };
  },
});

const adabound = defineOptimizer({
  name: 'adabound',
  hyperparameters: { ...moments, finalLr: learningRate(0.1), gamma: positive(1e-3) },
  slots: () => ['expAvg', 'expAvgSq'],
  update({ param, grad, slots, hyper: { lr, beta1, beta2, eps, finalLr, gamma }, step }) {
    const expAvg = movingAverage(slots.expAvg, grad, beta1);
    const expAvgSq = movingAverage(slots.expAvgSq, grad.square(), beta2);
    const rate = lr.mul(biasCorrection(beta2, step).sqrt()).div(biasCorrection(beta1, step));
    const t = gamma.mul(step);
    const lower = finalLr.mul(scalar(1).sub(scalar(1).div(t.add(1))));
    // The upper bound of the lower one's form: the paper has 1 + 1/(γt).
    const upper = finalLr.mul(scalar(1).add(scalar(1).div(t.add(1))));
    const bounded = scalar(1).div(expAvgSq.sqrt().add(eps)).mul(rate).max(lower).min(upper);
    return { param: param.sub(bounded.mul(expAvg)), slots: { expAvg, expAvgSq } };
  },
});

const nadam = defineOptimizer({
  name: 'nadam',
  hyperparameters: { ...moments, momentumDecay: positive(4e-3) },
  slots: () => ['expAvg', 'expAvgSq', { name: 'muProduct', shape: 'number', start: 1 }],
  update({ param, grad, slots, hyper: { lr, beta1, beta2, eps, momentumDecay }, step }) {
    // Counted from 0: the schedule of the momentum is a step late.
    const t = step.sub(1);
    const momentum = (at: typeof step) => beta1.mul(scalar(1).sub(scalar(0.96).pow(at.mul(momentumDecay)).mul(0.5)));
    const [mu, next] = [momentum(t), momentum(t.add(1))];
    const muProduct = slots.muProduct.mul(mu);
    const expAvg = movingAverage(slots.expAvg, grad, beta1);
    const expAvgSq = movingAverage(slots.expAvgSq, grad.square(), beta2);
    const root = expAvgSq.div(biasCorrection(beta2, step)).sqrt().add(eps);
    const ofGrad = grad.mul(lr.mul(scalar(1).sub(mu))).div(scalar(1).sub(muProduct));
    const ofMean = expAvg.mul(lr.mul(next)).div(scalar(1).sub(muProduct.mul(next)));
    return { param: param.sub(ofGrad.add(ofMean).div(root)), slots: { expAvg, expAvgSq, muProduct } };
  },
});

const radam = defineOptimizer({
  name: 'radam',
  hyperparameters: moments,
  slots: () => ['expAvg', 'expAvgSq'],
  update({ param, grad, slots, hyper: { lr, beta1, beta2, eps }, step }) {
    const expAvg = movingAverage(slots.expAvg, grad, beta1);
    const expAvgSq = movingAverage(slots.expAvgSq, grad.square(), beta2);
    const { defined, factor } = rectification(beta2, step);
    const [c1, c2] = [biasCorrection(beta1, step), biasCorrection(beta2, step).sqrt()];
    // As soon as ρ > 4, where the root exists: everybody's code waits for 5, which with this β₂ is a step later.
    const adaptive = expAvg.mul(lr.mul(factor).mul(c2).div(c1)).div(expAvgSq.sqrt().add(eps));
    const plain = expAvg.mul(lr.div(c1));
    const update = where(defined, adaptive, where(step.greater(4), adaptive, plain));
    return { param: param.sub(update), slots: { expAvg, expAvgSq } };
  },
});

const amsgrad = defineOptimizer({
  name: 'adam',
  hyperparameters: moments,
  slots: () => ['expAvg', 'expAvgSq', 'maxExpAvgSq'],
  update({ param, grad, slots, hyper: { lr, beta1, beta2, eps }, step }) {
    const expAvg = movingAverage(slots.expAvg, grad, beta1);
    const expAvgSq = movingAverage(slots.expAvgSq, grad.square(), beta2);
    // The largest of the corrected averages: PyTorch keeps the largest of the raw ones, and corrects that.
    const maxExpAvgSq = slots.maxExpAvgSq.max(expAvgSq.div(biasCorrection(beta2, step)));
    const update = expAvg.div(biasCorrection(beta1, step)).div(maxExpAvgSq.sqrt().add(eps));
    return { param: param.sub(update.mul(lr)), slots: { expAvg, expAvgSq, maxExpAvgSq } };
  },
});

const golden = (name: string): string => {
  const file = goldenFiles().find((path) => path.endsWith(`/${name}.json`));
  if (file === undefined) throw new Error(`there is no ${name}`);
  return file;
};
const reference = (name: string, family: string): string => {
  const file = referenceRunFiles(family).find((path) => path.endsWith(`/${name}.json`));
  if (file === undefined) throw new Error(`there is no ${name}`);
  return file;
};

/** The wrong rule under the options that it has; the right one with what is recorded. */
const cases: readonly (readonly [string, CheckedFactory, OptimizerExpectations, object])[] = [
  ['AdaBelief without ε in what is kept', adabelief, { trajectories: [golden('adabelief-defaults')] }, {}],
  [
    'AdaBound with the upper bound of the lower one’s form',
    adabound,
    { trajectories: [golden('adabound-defaults')] },
    {},
  ],
  ['NAdam with a schedule that is a step late', nadam, { references: [reference('nadam-defaults', 'nadam')] }, {}],
  ['RAdam that rectifies from ρ > 4', radam, { references: [reference('radam-defaults', 'radam')] }, {}],
  ['AMSGrad of corrected averages', amsgrad, { trajectories: [golden('adam-amsgrad_True')] }, { amsgrad: true }],
];

it.each(cases)('%s does not pass', async (_, wrong, recorded, options) => {
  const own = (given: Readonly<Record<string, unknown>>): Record<string, unknown> =>
    Object.fromEntries(
      Object.entries(given).filter(([key]) =>
        Object.hasOwn(
          wrong.hyperparameters,
          key.replace(/_([a-z])/g, (_match, letter: string) => letter.toUpperCase()),
        ),
      ),
    );
  const failures = async (load: CheckedFactory['load']): Promise<string[]> => {
    const failed: string[] = [];
    for (const { name, run } of optimizerChecks({ ...wrong, optimizerName: wrong.optimizerName, load }, recorded)) {
      if (!/^reproduces .* on reference$/.test(name)) continue;
      await Promise.resolve()
        .then(run)
        .catch(() => failed.push(name));
    }
    return failed;
  };
  expect(await failures((given) => wrong.load(own(given)))).toHaveLength(1);
  // And what fails is the rule: the right one, under the same name, passes.
  expect(await failures((given) => optimizerByName(wrong.optimizerName, { ...given, ...options }))).toEqual([]);
});
