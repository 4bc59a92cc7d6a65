import { describe, expect, it } from 'vitest';
import {
  accumulate,
  clipByGlobalNorm,
  clipByNorm,
  centralization,
  gradientNoise,
  sam,
} from '../../compose/gradients.js';
import { ema, maxNorm } from '../../compose/weights.js';
import { asMatrix, asParam, mean, oneMinus } from '../../expression/expression.js';
import { defineOptimizer } from '../../optimizer/define.js';
import { coefficient, decayRate, epsilon, flag, learningRate } from '../../optimizer/hyperparameters.js';
import type { Optimizer } from '../../optimizer/optimizer.js';
import { matrices } from '../../optimizer/match.js';
import { groups } from '../../optimizer/groups.js';
import { biasCorrection } from '../../pieces/bias-correction.js';
import { decay } from '../../pieces/decay.js';
import { orthogonalized, trustRatio } from '../../pieces/pieces.js';
import { Run } from '../../run/run.js';
import type { TrainingState } from '../../run/training-state.js';
import { exponential } from '../../schedule/factories.js';
import { elementCount, tensor32, type NamedTensors } from '../../tensor/tensor-data.js';
import type { Device } from '../device.js';
import { jsDevice } from '../js/device.js';
import { elements } from '../testing/random-program.js';
import { wasmDevice } from './device.js';

const adam = defineOptimizer({
  name: 'adam',
  hyperparameters: {
    lr: learningRate(1e-2),
    beta1: decayRate(0.9),
    beta2: decayRate(0.999),
    eps: epsilon(1e-8),
    weightDecay: coefficient(0),
    amsgrad: flag(false),
  },
  slots: ({ amsgrad }) => ['expAvg', 'expAvgSq', ...(amsgrad ? ['maxExpAvgSq'] : [])],
  update(inputs) {
    const { slots, hyper, step, uses } = inputs;
    const { theta, g } = decay(inputs);
    const expAvg = slots.expAvg.mul(hyper.beta1).add(g.mul(oneMinus(hyper.beta1)));
    const expAvgSq = slots.expAvgSq.mul(hyper.beta2).add(g.square().mul(oneMinus(hyper.beta2)));
    const largest = uses.amsgrad ? slots.maxExpAvgSq.max(expAvgSq) : expAvgSq;
    const denominator = largest.sqrt().div(biasCorrection(hyper.beta2, step).sqrt()).add(hyper.eps);
    return {
      param: theta.sub(expAvg.div(denominator).mul(hyper.lr.div(biasCorrection(hyper.beta1, step)))),
      slots: { expAvg, expAvgSq, ...(uses.amsgrad && { maxExpAvgSq: largest }) },
    };
  },
});

/** Factored second moments, a trust ratio and orthogonalization: everything that matrices are used for. */
const factored = defineOptimizer({
  name: 'factored',
  hyperparameters: { lr: learningRate(1e-2), beta: decayRate(0.9) },
  slots: (_, { matrix }) =>
    matrix
      ? [
          { name: 'rows', shape: ['rows', 1] },
          { name: 'cols', shape: [1, 'cols'] },
        ]
      : ['square'],
  update({ param, grad, slots, hyper, matrix }) {
    const average = (slot: typeof grad, value: typeof grad) =>
      slot.mul(hyper.beta).add(value.mul(oneMinus(hyper.beta)));
    const squares = grad.square().add(1e-30);
    if (!matrix) {
      const square = average(slots.square, squares);
      return { param: param.sub(grad.div(square.sqrt()).mul(hyper.lr)), slots: { square } };
    }
    const m = asMatrix(squares);
    const [rows, cols] = [average(slots.rows, mean(m, 'cols')), average(slots.cols, mean(m, 'rows'))];
    const scaled = asMatrix(grad).div(rows.mul(cols).div(mean(rows)).sqrt());
    const update = asParam(scaled.add(orthogonalized(scaled, true, { steps: 2, eps: 1e-7, coefficients: [3, -4, 2] })));
    return { param: param.sub(update.mul(trustRatio(param, update).mul(hyper.lr))), slots: { rows, cols } };
  },
});

const shapes: Readonly<Record<string, readonly number[]>> = {
  scalar: [],
  bias: [7],
  dense: [5, 9],
  tall: [9, 4],
  conv: [3, 2, 3, 3],
  long: [4099],
  empty: [0],
};
const tensors = (seed: number): NamedTensors =>
  Object.fromEntries(
    Object.entries(shapes).map(([name, shape], i) => [
      name,
      tensor32(elements(elementCount(shape), seed * 31 + i, true).map(Math.tanh), shape),
    ]),
  );

async function trained<B>(device: Device<B>, optimizer: Optimizer, steps: number): Promise<TrainingState> {
  const run = Run.start(device, optimizer, tensors(0), { nonFinite: 'skip' });
  for (let step = 1; step <= steps; step++) {
    await run.stepWith({
      evaluate({ gradients }) {
        for (const [name, { data }] of Object.entries(tensors(step))) run.device.write(gradients[name], data);
        return { loss: 1 / step };
      },
    });
  }
  return { ...(await run.state()), origin: 'here' };
}

const optimizers: Readonly<Record<string, Optimizer>> = {
  adam: adam(),
  'adam with everything on': adam({ amsgrad: true, weightDecay: 0.01 }),
  factored: factored(),
  'groups with schedules': groups(
    [
      { name: 'matrices', match: matrices, optimizer: factored() },
      { name: 'bias', match: 'bias', hyperparameters: { lr: 0.1 }, schedules: { lr: exponential(0.5) } },
    ],
    adam(),
  ).withSchedules({ lr: exponential(0.9) }),
  'global norm': clipByGlobalNorm(0.5, adam()),
  'largest element': clipByGlobalNorm(0.5, adam(), { infinity: true }),
  'norm of each, centralized': centralization(clipByNorm(0.1, adam())),
  'several batches': accumulate(2, adam()),
  'averages, noise and constraints': ema(0.9, gradientNoise(maxNorm(0.5, adam()))),
  sam: sam(0.05, adam()),
};

describe('a run on wasm', () => {
  it.each(Object.entries(optimizers))('trains as on js to the last bit: %s', async (_, optimizer) => {
    expect(await trained(wasmDevice(), optimizer, 6)).toEqual(await trained(jsDevice(), optimizer, 6));
  });

  it('trains the same where memories are full and kernels run elsewhere', async () => {
    const weights = (seed: number): NamedTensors =>
      Object.fromEntries(
        Array.from({ length: 24 }, (_, i) => [
          `w${i}`,
          tensor32(elements(10_000, 100 * seed + i, true).map(Math.tanh), [100, 100]),
        ]),
      );
    const train = async <B>(device: Device<B>): Promise<TrainingState> => {
      const run = Run.start(device, clipByGlobalNorm(0.5, factored()), weights(0));
      await run.applyGradients(weights(1));
      return { ...(await run.state()), origin: 'here' };
    };
    expect(await train(wasmDevice({ memoryLimit: 2 ** 20 }))).toEqual(await train(jsDevice()));
  });

  it('keeps its values when a change of hyperparameters adds a slot and the memory grows', async () => {
    const length = 100_000;
    const weights = tensor32(elements(length, 1, true).map(Math.tanh));
    const train = async <B>(device: Device<B>): Promise<TrainingState> => {
      const run = Run.start(device, adam(), { w: weights });
      const step = (seed: number) => run.applyGradients({ w: tensor32(elements(length, seed, true).map(Math.tanh)) });
      await step(2);
      run.setHyperparameters({ amsgrad: true });
      await step(3);
      await step(4);
      return { ...(await run.state()), origin: 'here' };
    };
    const expected = await train(jsDevice());
    expect(await train(wasmDevice())).toEqual(expected);
    // The parameter with its first slots fills a memory, the added slot is in another.
    expect(await train(wasmDevice({ memoryLimit: 2 ** 21 }))).toEqual(expected);
  });

  it('works at addresses beyond 2 GiB', async () => {
    const device = wasmDevice();
    // Never touched, so it takes addresses alone.
    const [[below]] = device.allocate([[540_000_000]]);
    expect(await trained(device, clipByGlobalNorm(0.5, gradientNoise(factored())), 2)).toEqual(
      await trained(jsDevice(), clipByGlobalNorm(0.5, gradientNoise(factored())), 2),
    );
    const [[above]] = device.allocate([[4]]);
    expect(above.memory).toBe(below.memory);
    expect(above.address).toBeGreaterThan(2 ** 31);
  });

  it('keeps the parameters of a group side by side, whatever their order', () => {
    const run = Run.start(
      wasmDevice(),
      groups([{ name: 'odd', match: /[135]$/, hyperparameters: { lr: 0.1 } }], adam()),
      Object.fromEntries([0, 1, 2, 3, 4, 5].map((i) => [`w${i}`, tensor32([i, i, i, i])])),
    );
    const { parameters, gradients } = run.buffers;
    for (const buffers of [parameters, gradients]) {
      const order = Object.keys(buffers).sort((a, b) => buffers[a].address - buffers[b].address);
      expect(order).toEqual(['w0', 'w2', 'w4', 'w1', 'w3', 'w5']);
      const { w0, w4 } = buffers;
      expect(w4.address - w0.address).toBe(32);
    }
  });

  it('updates groups that have the same program in one call', async () => {
    const names = [0, 1, 2, 3, 4, 5].map((i) => `w${i}`);
    const values = (seed: number): NamedTensors =>
      Object.fromEntries(names.map((name, i) => [name, tensor32(elements(5, seed + i, true).map(Math.tanh))]));
    const grouped = groups([{ name: 'odd', match: /[135]$/, hyperparameters: { lr: 0.1 } }], adam());
    const calls: number[] = [];
    const counted = <B>(device: Device<B>): Device<B> => ({
      ...device,
      compile(program) {
        const kernel = device.compile(program);
        return {
          bind(bindings) {
            const bound = kernel.bind(bindings);
            return {
              run(scalars) {
                calls.push(new Set(scalars).size);
                return bound.run(scalars);
              },
            };
          },
        };
      },
    });
    const train = async <B>(device: Device<B>): Promise<TrainingState> => {
      const run = Run.start(device, grouped.withSchedules({ lr: exponential(0.5) }), values(0));
      for (let step = 1; step <= 3; step++) await run.applyGradients(values(10 * step));
      return { ...(await run.state()), origin: 'here' };
    };
    expect(await train(counted(wasmDevice()))).toEqual(await train(jsDevice()));
    // Two groups, each with scalars of its own.
    expect(calls).toEqual([2, 2, 2]);
  });

  it('goes through the parts of a long array, and what is left of it', async () => {
    const length = 2 ** 17 + 4099;
    const train = async <B>(device: Device<B>): Promise<TrainingState> => {
      const wave = (phase: number) =>
        tensor32(
          Float32Array.from({ length }, (_, i) => Math.sin(i + phase)),
          [length],
        );
      const run = Run.start(device, adam(), { w: wave(0) });
      await run.applyGradients({ w: wave(1) });
      return { ...(await run.state()), origin: 'here' };
    };
    expect(await train(wasmDevice())).toEqual(await train(jsDevice()));
  });

  it('updates many small tensors, with and without gradients', async () => {
    const names = Array.from({ length: 300 }, (_, i) => `w${i}`);
    const many = (seed: number, some = names): NamedTensors =>
      Object.fromEntries(some.map((name, i) => [name, tensor32(elements(i % 40, seed + i, true).map(Math.tanh))]));
    const train = async <B>(device: Device<B>): Promise<TrainingState> => {
      const run = Run.start(device, clipByGlobalNorm(1, adam()), many(0));
      await run.applyGradients(many(1));
      await run.applyGradients(many(2, names.slice(0, 100)));
      // Now there are two cohorts: some have had fewer updates.
      await run.applyGradients(many(3));
      return { ...(await run.state()), origin: 'here' };
    };
    expect(await train(wasmDevice())).toEqual(await train(jsDevice()));
  });
});
