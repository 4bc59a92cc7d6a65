import { describe, expect, it } from 'vitest';
import { accumulate, lossScaling } from '../compose/gradients.js';
import type { Device } from '../device/device.js';
import { jsDevice } from '../device/js/device.js';
import { defineOptimizer } from '../optimizer/define.js';
import type { Optimizer } from '../optimizer/optimizer.js';
import { tensor32, type FloatArray } from '../tensor/tensor-data.js';
import { Run } from './run.js';
import type { GradientSource, RunOptions, StepReport } from './step-types.js';

/** θ ← θ − g/t: depends on the count of steps. */
const harmonic = defineOptimizer({
  name: 'harmonic',
  hyperparameters: {},
  update: ({ param, grad, step }) => ({ param: param.sub(grad.div(step)) }),
});

/** A device that knows later, like a GPU, whether gradients are finite. */
function lateDevice(): Device<FloatArray> {
  const device = jsDevice();
  let fine = true;
  return {
    ...device,
    nonFinite(buffers) {
      const bad = device.nonFinite(buffers) as number[];
      fine = bad.length === 0;
      return { later: Promise.resolve(bad) };
    },
    compile: (program) => ({
      bind(bindings) {
        const bound = device.compile(program).bind(bindings);
        return { run: (scalars) => (fine ? bound.run(scalars) : undefined) };
      },
    }),
  };
}

function start(optimizer: Optimizer = harmonic(), options: RunOptions<FloatArray> = {}) {
  const run = Run.start(lateDevice(), optimizer, { w: tensor32([8]) }, options);
  const source = (gradient: number): GradientSource<FloatArray> => ({
    evaluate: ({ gradients }) => {
      gradients.w[0] = gradient;
      return {};
    },
  });
  return {
    run,
    step: (gradient: number): StepReport => run.stepNow(source(gradient)),
    known: () => new Promise((resolve) => setTimeout(resolve)),
    weight: async () => (await run.weights()).w.data[0],
  };
}

describe('a step whose check is known later', () => {
  it('is taken back when the check fails, and the next step says so', async () => {
    const { run, step, known, weight } = start();
    step(2);
    expect(step(NaN)).toEqual({ step: 2, outcome: 'taken' });
    await known();
    expect([run.step, await weight()]).toEqual([1, 6]);
    expect(() => step(2)).toThrow('gradients of "w" are not finite at step 2; nothing has been updated');
    expect(step(2).step).toBe(2);
    expect(await weight()).toBe(5);
  });

  it('does not show in a state, which waits for the check', async () => {
    const { run, step } = start();
    step(2);
    step(Infinity);
    expect(await run.state()).toMatchObject({ step: 1, parameters: { w: { step: 1 } } });
  });

  it('is only counted where that is the policy', async () => {
    const { run, step, known, weight } = start(harmonic(), { nonFinite: 'skip' });
    step(NaN);
    await known();
    step(2);
    expect([run.step, run.skipped, await weight()]).toEqual([1, 1, 6]);
  });

  it('lowers the loss scale', async () => {
    const { run, step, known } = start(lossScaling(harmonic(), { initialScale: 8 }));
    step(Infinity);
    await known();
    expect([run.step, run.lossScale]).toEqual([0, 4]);
  });

  it('does not count among batches that are collected', async () => {
    const { step, known, weight } = start(accumulate(2, harmonic()), { nonFinite: 'skip' });
    step(NaN);
    await known();
    expect(step(2).outcome).toBe('collected');
    step(NaN);
    await known();
    expect(step(4)).toEqual({ step: 1, outcome: 'taken' });
    expect(await weight()).toBe(5);
  });
});
