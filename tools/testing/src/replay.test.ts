import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import {
  coefficient,
  decayRate,
  defineOptimizer,
  epsilon,
  flag,
  learningRate,
  jsDevice,
  movingAverage,
  oneMinus,
  referenceDevice,
  type TrainingState,
} from '@adakit/core';
import { goldenFiles } from '@adakit/fixtures';
import { describe, expect, it } from 'vitest';
import { replay, ulp32, ulp64 } from './replay.js';
import { lossyInterruptions } from './resume.js';
import { parseTrajectory, type Trajectory } from './trajectory.js';

/** Ways to get Adam wrong. */
type Mistake =
  | 'eps inside the root'
  | 'eps before bias correction'
  | 'no bias correction of the mean'
  | 'no bias correction of the second moment'
  | 'bias corrections one step late'
  | 'l2 instead of decoupled decay'
  | 'decoupled instead of l2 decay'
  | 'decay after the step'
  | 'amsgrad on the corrected moment'
  | 'no amsgrad'
  | 'betas swapped';

function adam(mistake?: Mistake) {
  return defineOptimizer({
    name: 'adam',
    hyperparameters: {
      lr: learningRate(1e-3),
      beta1: decayRate(0.9),
      beta2: decayRate(0.999),
      eps: epsilon(1e-8),
      weightDecay: coefficient(0),
      weightDecouple: flag(false),
      amsgrad: flag(false),
    },
    slots: ({ amsgrad }) => ['expAvg', 'expAvgSq', ...(amsgrad ? (['maxExpAvgSq'] as const) : [])],
    update({ param, grad, slots, hyper, uses, step }) {
      const { lr, eps, weightDecay } = hyper;
      const [beta1, beta2] = mistake === 'betas swapped' ? [hyper.beta2, hyper.beta1] : [hyper.beta1, hyper.beta2];
      const l2 = mistake === 'l2 instead of decoupled decay';
      const decoupled =
        uses.weightDecay && ((uses.weightDecouple && !l2) || mistake === 'decoupled instead of l2 decay');
      const kept = oneMinus(lr.mul(weightDecay));
      const late = mistake === 'decay after the step';
      const theta = decoupled && !late ? param.mul(kept) : param;
      const g = uses.weightDecay && !decoupled ? grad.add(param.mul(weightDecay)) : grad;

      const m = movingAverage(slots.expAvg, g, beta1);
      const v = movingAverage(slots.expAvgSq, g.square(), beta2);
      const t = mistake === 'bias corrections one step late' ? step.add(1) : step;
      const c1 = oneMinus(beta1.pow(t));
      const c2 = oneMinus(beta2.pow(t));
      const corrected = mistake === 'amsgrad on the corrected moment';
      const peak = uses.amsgrad ? slots.maxExpAvgSq.max(corrected ? v.div(c2) : v) : undefined;
      const moment = (mistake === 'no amsgrad' ? undefined : peak) ?? v;
      const meanCorrection = mistake === 'no bias correction of the mean' ? lr : lr.div(c1);
      const correctedRoot = () => {
        if (mistake === 'eps inside the root') return moment.div(c2).add(eps).sqrt();
        if (mistake === 'eps before bias correction') return moment.sqrt().add(eps).div(c2.sqrt());
        if (mistake === 'no bias correction of the second moment' || corrected) return moment.sqrt().add(eps);
        return moment.sqrt().div(c2.sqrt()).add(eps);
      };
      const stepped = theta.sub(m.mul(meanCorrection).div(correctedRoot()));
      return {
        param: decoupled && late ? stepped.mul(kept) : stepped,
        slots: { expAvg: m, expAvgSq: v, ...(peak && { maxExpAvgSq: peak }) },
      };
    },
  });
}

const golden = (name: string): Trajectory => {
  const file = goldenFiles().find((path) => basename(path) === `${name}.json`);
  if (file === undefined) throw new Error(`no golden file ${name}`);
  return parseTrajectory(readFileSync(file, 'utf8'), name);
};
const devices = [referenceDevice(), referenceDevice('float32'), jsDevice()];

const plain = 'adam-defaults';
const large = 'adam-eps_0.001-lr_0.01';
const l2 = 'adam-weight_decay_0.0005';
const decoupled = 'adam-weight_decay_0.01-weight_decouple_True';
const amsgrad = 'adam-amsgrad_True';

describe('replay', () => {
  it.each([plain, large, l2, decoupled, amsgrad, 'adam-decay_25-kind_sparse'])(
    'accepts the right rule on %s',
    async (name) => {
      const trajectory = golden(name);
      for (const device of devices) {
        const report = await replay(trajectory, adam().load(trajectory.hyperparameters), device);
        expect(report).toMatchObject({ ok: true, optimizer: 'adam', backend: device.name, steps: 40 });
        expect(report.maxRel).toBeLessThan(device.precision === 'float64' ? 1e-14 : 1e-6);
      }
    },
  );

  const mistakes: [Mistake, ...string[]][] = [
    ['eps inside the root', plain, large],
    ['eps before bias correction', plain, large],
    ['no bias correction of the mean', plain],
    ['no bias correction of the second moment', plain],
    ['bias corrections one step late', plain],
    ['l2 instead of decoupled decay', decoupled],
    ['decoupled instead of l2 decay', l2],
    ['amsgrad on the corrected moment', amsgrad],
    ['no amsgrad', amsgrad],
    ['betas swapped', plain],
  ];
  it.each(mistakes)('finds %s', async (mistake, ...names) => {
    for (const name of names) {
      const trajectory = golden(name);
      for (const device of devices) {
        const { ok } = await replay(trajectory, adam(mistake).load(trajectory.hyperparameters), device);
        expect(ok, `${name} on ${device.name}`).toBe(false);
      }
    }
  });

  it('finds decay after the step in float64 alone: lr²·λ = 1e-8 of the parameter is less than float32 rounds away', async () => {
    const trajectory = golden(decoupled);
    const wrong = adam('decay after the step').load(trajectory.hyperparameters);
    expect((await replay(trajectory, wrong, referenceDevice())).ok).toBe(false);
    expect((await replay(trajectory, wrong, jsDevice())).ok).toBe(true);
  });

  it('finds a single element that is off by 1e-4 of its magnitude, at any step, in any precision', async () => {
    for (const device of devices) {
      for (const [step, element] of [
        [0, 3],
        [20, 0],
        [39, 20],
      ]) {
        const trajectory = golden(plain);
        const magnitude = Math.max(
          ...trajectory.float64.params.slice(0, step + 1).map((row) => Math.abs(row[element])),
        );
        trajectory[device.precision].params[step][element] += 1e-4 * magnitude;
        const report = await replay(trajectory, adam()(), device);
        expect(report.ok, `step ${step} on ${device.name}`).toBe(false);
        expect(report.maxRel).toBeCloseTo(1e-4, 6);
      }
    }
  });

  it('finds a final slot that is off', async () => {
    const trajectory = golden(plain);
    trajectory.float32.slots.exp_avg_sq[0] *= 1 + 1e-4;
    expect((await replay(trajectory, adam()(), jsDevice())).ok).toBe(false);
  });

  it('finds NaN, which no comparison with a tolerance would', async () => {
    const broken = defineOptimizer({
      name: 'broken',
      hyperparameters: { lr: learningRate(1) },
      slots: () => [],
      update: ({ param, grad }) => ({ param: param.sub(grad.sub(1e-9).sqrt()) }),
    });
    const trajectory = handmade({ grads: [[0, 1]], params: [[1, 1]] });
    const report = await replay(trajectory, broken(), jsDevice());
    expect(report.ok).toBe(false);
    expect([report.maxAbs, report.maxRel, report.maxUlp]).toEqual([NaN, NaN, NaN]);
  });

  it('refuses a trajectory with a slot that the optimizer does not keep', async () => {
    const trajectory = golden(amsgrad);
    await expect(replay(trajectory, adam()(), jsDevice())).rejects.toThrow(
      'the trajectory records a slot "max_exp_avg_sq", but adam keeps expAvg, expAvgSq with these options',
    );
  });

  it('frees what the run has allocated, also when it fails', async () => {
    let held = 0;
    const device = jsDevice();
    const watched: typeof device = {
      ...device,
      allocate(lengths) {
        held += lengths.flat().length;
        return device.allocate(lengths);
      },
      free(buffers) {
        held -= buffers.length;
      },
    };
    await replay(golden(plain), adam()(), watched);
    expect(held).toBe(0);
    await expect(replay(golden(amsgrad), adam()(), watched)).rejects.toThrow();
    expect(held).toBe(0);
  });
});

const sgd = defineOptimizer({
  name: 'sgd',
  hyperparameters: { lr: learningRate() },
  slots: () => [],
  update: ({ param, grad, hyper }) => ({ param: param.sub(grad.mul(hyper.lr)) }),
});

/** A trajectory of plain SGD from (1, 2), the same in both precisions. */
function handmade(changes: { grads: number[][]; params: number[][]; lrPerStep?: number[] }): Trajectory {
  const { grads, params, lrPerStep } = changes;
  const run = { params, slots: {} };
  return {
    optimizer: 'sgd',
    hyperparameters: {},
    steps: grads.length,
    size: 2,
    ...(lrPerStep && { lrPerStep }),
    param0: [1, 2],
    grads,
    float32: run,
    float64: run,
  };
}

describe('the report', () => {
  it('gives the largest difference, absolute, relative to the magnitude so far, and in ulps of that', async () => {
    // From (1, 2) to (0.5, 2), recorded as (0.5 + 1e-3, 2).
    const trajectory = handmade({ grads: [[0.5, 0]], params: [[0.501, 2]] });
    const report = await replay(trajectory, sgd({ lr: 1 }), referenceDevice());
    expect(report).toMatchObject({ ok: false, tolerance: 1e-12 });
    expect(report.maxAbs).toBeCloseTo(1e-3, 15);
    expect(report.maxRel).toBeCloseTo(1e-3, 15);
    expect(report.maxUlp / (1e-3 / 2 ** -52)).toBeCloseTo(1, 10);
    const { maxUlp } = await replay(trajectory, sgd({ lr: 1 }), jsDevice());
    expect(maxUlp / (1e-3 / 2 ** -23)).toBeCloseTo(1, 3);
  });

  it('takes the learning rate of each step from the trajectory', async () => {
    const trajectory = handmade({
      grads: [
        [1, 1],
        [1, 1],
      ],
      params: [
        [0.5, 1.5],
        [0.25, 1.25],
      ],
      lrPerStep: [0.5, 0.25],
    });
    for (const device of devices) {
      expect(await replay(trajectory, sgd({ lr: 9 }), device)).toMatchObject({ ok: true, maxAbs: 0 });
    }
  });

  it('rounds parameters and gradients that are no float32 numbers as the backend does', async () => {
    const f = Math.fround;
    const trajectory = handmade({ grads: [[0.1, 0.3]], params: [[f(f(1 / 3) - f(0.1)), f(2 - f(0.3))]] });
    const started = { ...trajectory, param0: [1 / 3, 2] };
    expect(await replay(started, sgd({ lr: 1 }), jsDevice())).toMatchObject({ ok: true, maxAbs: 0 });
  });
});

describe('lossyInterruptions', () => {
  const momentum = golden('sgd-lr_0.1-momentum_0.9');
  const optimizer = defineOptimizer({
    name: 'sgd',
    hyperparameters: { lr: learningRate(0.1) },
    slots: () => ['momentumBuffer'],
    update({ param, grad, slots, hyper, step }) {
      const momentumBuffer = slots.momentumBuffer.mul(0.9).add(grad);
      return { param: param.sub(momentumBuffer.mul(hyper.lr).div(step)), slots: { momentumBuffer } };
    },
  })();

  it('finds none where a state is complete', async () => {
    expect(await lossyInterruptions(momentum, optimizer, jsDevice())).toEqual([]);
  });

  it('finds a slot that is lost in every step but the first', async () => {
    const forgetful = (state: TrainingState): TrainingState => {
      const { theta } = state.parameters;
      const { momentumBuffer } = theta.slots;
      const lost = { ...momentumBuffer, data: new Float32Array(momentumBuffer.data.length) };
      return { ...state, parameters: { theta: { ...theta, slots: { momentumBuffer: lost } } } };
    };
    expect(await lossyInterruptions(momentum, optimizer, jsDevice(), forgetful)).toEqual(
      Array.from({ length: 39 }, (_, i) => i + 1),
    );
  });

  it('finds a lost step count', async () => {
    const forgetful = (state: TrainingState): TrainingState => ({
      ...state,
      parameters: { theta: { ...state.parameters.theta, step: 0 } },
    });
    const lossy = await lossyInterruptions(momentum, optimizer, jsDevice(), forgetful);
    expect(lossy).toEqual(Array.from({ length: 39 }, (_, i) => i + 1));
  });
});

describe('a unit in the last place', () => {
  const cases: [number, number, number][] = [
    [1, 2 ** -23, 2 ** -52],
    [-1, 2 ** -23, 2 ** -52],
    [1.999, 2 ** -23, 2 ** -52],
    [2, 2 ** -22, 2 ** -51],
    [0, 2 ** -149, 2 ** -1074],
    [2 ** -126, 2 ** -149, 2 ** -178],
    [2 ** -130, 2 ** -149, 2 ** -182],
  ];
  it.each(cases)('of %d is the distance to the next number', (x, single, double) => {
    expect(ulp32(x)).toBe(single);
    expect(ulp64(x)).toBe(double);
  });

  it('doubles exactly at every power of two', () => {
    for (let exponent = -1022; exponent <= 1023; exponent++) {
      const power = 2 ** exponent;
      const ulp = 2 ** Math.max(exponent - 52, -1074);
      expect(ulp64(power), `2^${exponent}`).toBe(ulp);
      expect(ulp64(power * (2 - 2 ** -52)), `the number below 2^${exponent + 1}`).toBe(ulp);
    }
    for (let exponent = -126; exponent <= 127; exponent++) {
      const power = 2 ** exponent;
      expect(ulp32(power), `2^${exponent}`).toBe(2 ** (exponent - 23));
      expect(ulp32(power * (2 - 2 ** -23)), `the number below 2^${exponent + 1}`).toBe(2 ** (exponent - 23));
    }
  });
});
