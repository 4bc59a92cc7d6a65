import {
  accumulate,
  defineOptimizer,
  ema,
  jsDevice,
  learningRate,
  Run,
  sam,
  tensor32,
  tensor64,
  type GradientSource,
  type Optimizer,
  type TrainingState,
} from '@adakit/core';
import * as tf from '@tensorflow/tfjs';
import '@tensorflow/tfjs-backend-wasm';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import './fused/cpu.js';
import './fused/wasm.js';
import { startBackend, tfjsDevice } from '../index.js';
import { Cell } from './cell.js';
import { NamedTfjsDevice } from './device.js';

/** Keeps the last gradient and the sum of all, and counts in the parameter: θ ← θ + η·t. */
const recorder = defineOptimizer({
  name: 'recorder',
  hyperparameters: { lr: learningRate(1) },
  slots: () => ['last', { name: 'sum', start: 10 }],
  update: ({ param, grad, slots, hyper, step }) => ({
    param: param.add(step.mul(hyper.lr)),
    slots: { last: grad, sum: slots.sum.add(grad) },
  }),
});

/** θ ← θ − g. */
const descent = defineOptimizer({
  name: 'descent',
  hyperparameters: {},
  update: ({ param, grad }) => ({ param: param.sub(grad) }),
});

let before: number;
beforeAll(() => startBackend('wasm'));
beforeEach(async () => {
  await tf.setBackend('cpu');
  before = tf.memory().numTensors;
});
afterEach(() => {
  expect(tf.memory().numTensors, 'tensors left behind').toBe(before);
});

const ways = ['cpu', 'wasm'].flatMap((backend) => [
  { backend, fused: true, how: 'in a loop' },
  { backend, fused: false, how: 'op by op' },
]);

describe.each(ways)('a run on tfjs/$backend, $how', ({ backend, fused }) => {
  const start = (optimizer: Optimizer, parameters: Parameters<typeof Run.start<Cell>>[2]): Run<Cell> =>
    Run.start(tfjsDevice(backend, { fused }), optimizer, parameters);

  it('names itself, and makes its backend the current one', async () => {
    const run = start(recorder(), {});
    expect([run.backend, run.device.precision]).toEqual([`tfjs/${backend}`, 'float32']);
    expect(tf.getBackend()).toBe(backend);
    await run.dispose();
  });

  it('updates parameters that have gradients, and gives every parameter in its state', async () => {
    const run = start(recorder(), { w: tensor64([1, 2], [2, 1]), b: tensor32([5], []) });
    await run.applyGradients({ w: tensor64([3, 4], [2, 1]) });
    await run.applyGradients({ w: tensor32([5, 6], [2, 1]) });
    const state = await run.state();
    expect(state).toMatchObject({ step: 2, optimizer: { name: 'recorder' } });
    expect(state.parameters).toMatchObject({
      w: {
        value: tensor32([4, 5], [2, 1]),
        step: 2,
        slots: { last: tensor32([5, 6], [2, 1]), sum: tensor32([18, 20], [2, 1]) },
      },
      b: { value: tensor32([5], []), step: 0, slots: { last: tensor32([0], []), sum: tensor32([10], []) } },
    });
    await run.dispose();
  });

  it('answers at once', async () => {
    const run = start(descent(), { w: tensor32([1, 2]) });
    const source: GradientSource<Cell> = {
      evaluate: ({ gradients }) => {
        run.device.write(gradients.w, Float32Array.of(1, 1));
        return { loss: 3 };
      },
    };
    expect(run.stepNow(source)).toEqual({ step: 1, outcome: 'taken', loss: 3 });
    expect([...(await run.weights()).w.data]).toEqual([0, 1]);
    await run.dispose();
  });

  it('shares no memory with parameters, gradients and states', async () => {
    const [parameter, gradient] = [tensor32([1]), tensor32([7])];
    const run = start(recorder(), { w: parameter });
    await run.applyGradients({ w: gradient });
    const [taken, loaded] = [await run.state(), await run.state()];
    const copy = structuredClone(taken);
    const scribble = ({ parameters: { w } }: TrainingState): void => {
      for (const { data } of [parameter, gradient, w.value, w.slots.last]) data[0] = 99;
    };
    scribble(taken);
    expect(await run.state()).toEqual(copy);
    await run.load(loaded);
    scribble(loaded);
    expect(await run.state()).toEqual(copy);
    await run.dispose();
  });

  it('goes on from a state as the run that it is from', async () => {
    const first = start(recorder(), { w: tensor32([1]), b: tensor32([2]) });
    await first.applyGradients({ w: tensor32([1]) });
    first.setHyperparameters({ lr: 0.5 });
    const second = start(recorder(), { w: tensor32([0]), b: tensor32([0]) });
    await second.load(await first.state());
    for (const run of [first, second]) await run.applyGradients({ w: tensor32([2]), b: tensor32([3]) });
    expect(await second.state()).toEqual(await first.state());
    expect(second.optimizer.hyperparameters.lr).toBe(0.5);
    await first.dispose();
    await second.dispose();
  });

  it('is unchanged by gradients and states that do not fit', async () => {
    const run = start(recorder(), { w: tensor32([1]), b: tensor32([2]) });
    await run.applyGradients({ w: tensor32([1]) });
    const state = await run.state();
    const good = { w: tensor32([1]) };
    await expect(run.applyGradients({ ...good, v: tensor32([1]) })).rejects.toThrow(/"v", but the run has "w", "b"/);
    await expect(run.applyGradients({ ...good, b: tensor32([1, 2]) })).rejects.toThrow(/"b" has shape \[2\]/);
    await expect(run.applyGradients({ ...good, b: tensor32([NaN]) })).rejects.toThrow(/"b" are not finite/);
    const part: TrainingState = { ...state, step: 9, parameters: { w: state.parameters.w } };
    await expect(run.load(part)).rejects.toThrow('lacks the parameter "b"');
    expect(await run.state()).toEqual(state);
    await run.dispose();
  });

  it('keeps averages and looks ahead, collects batches and gives views', async () => {
    for (const optimizer of [ema(0.5, descent()), accumulate(2, descent()), sam(0.5, recorder())]) {
      const runs = [
        start(optimizer, { w: tensor32([3, 4]) }),
        Run.start(jsDevice(), optimizer, { w: tensor32([3, 4]) }),
      ];
      const states = await Promise.all(
        runs.map(async (run) => {
          for (let i = 1; i <= 4; i++) {
            await (run as Run<unknown>).stepWith({
              evaluate: ({ gradients }) => {
                (run as Run<unknown>).device.write(gradients.w, Float32Array.of(i, 2));
                return {};
              },
            });
          }
          return [await run.weights(), (await run.state()).parameters];
        }),
      );
      expect(states[0]).toEqual(states[1]);
      for (const run of runs) await run.dispose();
    }
  });

  it('cannot be used after dispose, which may be called twice', async () => {
    const run = start(recorder(), { w: tensor32([1]) });
    const state = await run.state();
    await run.dispose();
    await run.dispose();
    for (const use of [run.applyGradients({}), run.state(), run.load(state)]) {
      await expect(use).rejects.toMatchObject({ code: 'disposed' });
    }
  });

  it('is found by nobody else who minimizes', async () => {
    const run = start(recorder(), { w: tensor32([1]) });
    tf.tidy(() => {
      const own = tf.variable(tf.scalar(3));
      expect(Object.keys(tf.variableGrads(() => own.square()).grads)).toEqual([own.name]);
      own.dispose();
    });
    await run.dispose();
  });

  it('leaves alone what a variable has been before, whoever looks at it', async () => {
    const values = Float32Array.of(1, 2);
    const given = tf.tensor1d(values);
    const variable = tf.variable(given);
    const run = start(descent(), { w: { buffer: new Cell(variable), shape: [2] } });
    const [seen, shared] = [variable.dataSync(), variable.clone()];
    await run.applyGradients({ w: tensor32([1, 1]) });
    const later = variable.dataSync();
    await run.applyGradients({ w: tensor32([1, 1]) });
    expect([values, seen, given.dataSync(), shared.dataSync()].map((each) => [...each])).toEqual(
      new Array(4).fill([1, 2]),
    );
    expect([[...later], [...variable.dataSync()]]).toEqual([[0, 1], [-1, 0]]); // prettier-ignore
    await run.dispose();
    expect(variable.isDisposed).toBe(false);
    tf.dispose([given, variable, shared]);
  });
});

describe('convolutions on wasm, which keep their filters in a form of their own', () => {
  it('see a filter that has been changed', async () => {
    await startBackend('wasm');
    const filter = tf.tidy(() => tf.variable(tf.ones<tf.Rank.R4>([1, 1, 1, 1])));
    const run = Run.start(tfjsDevice('wasm'), descent(), {
      filter: { buffer: new Cell(filter), shape: filter.shape },
    });
    const output = (): number =>
      tf.tidy(() => tf.conv2d(tf.ones<tf.Rank.R4>([1, 1, 1, 1]), filter, 1, 'valid').dataSync()[0]);
    const outputs = [output()];
    for (let i = 0; i < 4; i++) {
      await run.applyGradients({ filter: tensor32([1], [1, 1, 1, 1]) });
      outputs.push(output());
    }
    expect(outputs).toEqual([1, 0, -1, -2, -3]);
    await run.dispose();
    filter.dispose();
  });
});

describe('memory', () => {
  it.each([
    // Slots are outside TensorFlow.js.
    { backend: 'cpu', fused: true, tensors: 0 },
    // Parameters, gradients that have been copied here, and two slots each.
    { backend: 'wasm', fused: true, tensors: 2 * 4 },
    // And η·t of this step and the one before.
    { backend: 'cpu', fused: false, tensors: 2 * 4 + 2 },
  ])('on $backend, fused: $fused, is $tensors tensors for two parameters', async ({ backend, fused, tensors }) => {
    await startBackend(backend);
    const run = Run.start(tfjsDevice(backend, { fused }), recorder(), { a: tensor32([1]), b: tensor32([1, 2]) });
    const step = async (): Promise<number> => {
      await run.applyGradients({ a: tensor32([1]), b: tensor32([1, 1]) });
      return tf.memory().numTensors - before;
    };
    await step();
    expect([await step(), await step(), await step()]).toEqual([tensors, tensors, tensors]);
    await run.dispose();
  });
});

describe('a backend that cannot be read at once', () => {
  class LateDevice extends NamedTfjsDevice {
    override get answersAtOnce(): boolean {
      return false;
    }
  }
  const start = (optimizer: Optimizer, options = {}): { run: Run<Cell>; step: (gradient: number) => void } => {
    const run = Run.start(new LateDevice({}, 'cpu'), optimizer, { w: tensor32([8]) }, options);
    const step = (gradient: number): void => {
      run.stepNow({
        evaluate: ({ gradients }) => {
          run.device.write(gradients.w, gradient);
          return {};
        },
      });
    };
    return { run, step };
  };
  const known = (): Promise<void> => new Promise((resolve) => setTimeout(resolve));

  it('masks the effect of gradients that are not finite, and says so with the next step', async () => {
    const { run, step } = start(recorder());
    step(1);
    step(NaN);
    const { parameters } = await run.state();
    expect(parameters.w).toMatchObject({
      value: tensor32([9]),
      step: 1,
      slots: { last: tensor32([1]), sum: tensor32([11]) },
    });
    expect(() => { step(1); }).toThrow('gradients of "w" are not finite at step 2; nothing has been updated'); // prettier-ignore
    step(2);
    expect((await run.state()).parameters.w).toMatchObject({ value: tensor32([11]), step: 2 });
    await run.dispose();
  });

  it('counts such steps where that is the policy', async () => {
    const { run, step } = start(descent(), { nonFinite: 'skip' });
    step(Infinity);
    await known();
    step(3);
    expect([run.step, run.skipped, (await run.weights()).w.data[0]]).toEqual([1, 1, 5]);
    await run.dispose();
  });
});
