import { describe, expect, it } from 'vitest';
import { ema } from '../compose/weights.js';
import type { Device } from '../device/device.js';
import { referenceDevice } from '../device/reference/device.js';
import { defineOptimizer } from '../optimizer/define.js';
import { learningRate } from '../optimizer/hyperparameters.js';
import { tensor64, type FloatArray } from '../tensor/tensor-data.js';
import { Run } from './run.js';

const descent = defineOptimizer({
  name: 'descent',
  hyperparameters: { lr: learningRate(0.5) },
  update: ({ param, grad, hyper: { lr } }) => ({ param: param.sub(grad.mul(lr)) }),
});
/** A slot that starts at something computed. */
const anchored = defineOptimizer({
  name: 'anchored',
  hyperparameters: { lr: learningRate(0.5) },
  slots: () => [{ name: 'anchor', start: ({ param }) => param.mul(3) }],
  update: ({ param, grad, slots, hyper: { lr } }) => ({
    param: param.sub(grad.mul(lr)),
    slots: { anchor: slots.anchor },
  }),
});

/** The reference, whose kernels end later. */
function later(): Device<FloatArray> {
  const device = referenceDevice();
  return {
    ...device,
    compile(program) {
      const kernel = device.compile(program);
      return {
        bind(bindings) {
          const bound = kernel.bind(bindings);
          return {
            async run(scalars) {
              await new Promise((resolve) => setTimeout(resolve, 5));
              await bound.run(scalars);
            },
          };
        },
      };
    },
  };
}

const one = { w: tensor64([1]) };

describe('work in one place among the calls', () => {
  it('sees the run between the steps before and after it', async () => {
    const run = Run.start(referenceDevice(), ema(0.5, descent()), one);
    const first = run.applyGradients(one);
    const seen = run.exclusively(async (now) => ({
      trained: [...(await now.weights('trained')).w.data],
      averaged: [...(await now.weights()).w.data],
      step: (await now.state()).step,
    }));
    await run.applyGradients(one);
    await first;
    expect(await seen).toEqual({ trained: [0.5], averaged: [0.75], step: 1 });
  });

  it('can go back to an earlier state', async () => {
    const run = Run.start(referenceDevice(), descent(), one);
    const start = await run.state();
    await run.applyGradients(one);
    const loading = run.exclusively((now) => now.load(start));
    const next = run.applyGradients(one);
    await loading;
    expect(await next).toMatchObject({ step: 1 });
  });

  it('can look at what is kept without a copy', async () => {
    const run = Run.start(referenceDevice(), descent(), one);
    const value = await run.exclusively(async (now) => (await now.state((buffer) => buffer)).parameters.w.value.data);
    expect(value).toBe(run.buffers.parameters.w);
  });
});

describe('start values that a device computes later', () => {
  it('are there for whatever comes next', async () => {
    const { parameters } = await Run.start(later(), anchored(), one).state();
    expect([...parameters.w.slots.anchor.data]).toEqual([3]);
  });

  it('do not come after those of a state', async () => {
    const run = Run.start(later(), anchored(), { w: tensor64([5]) });
    await run.load(await Run.start(referenceDevice(), anchored(), one).state());
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect([...(await run.state()).parameters.w.slots.anchor.data]).toEqual([3]);
  });
});
