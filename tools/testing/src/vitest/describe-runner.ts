import {
  accumulate,
  clipByGlobalNorm,
  defineOptimizer,
  definePhasedOptimizer,
  ema,
  groups,
  learningRate,
  linear,
  referenceDevice,
  Run,
  sum,
  tensor32,
  type ChangeScope,
  type FloatArray,
  type HyperparameterValues,
  type MaybePromise,
  type NamedTensors,
  type Optimizer,
  type Stateful,
  type TrainingState,
} from '@adakit/core';
import { afterEach, describe, expect, it } from 'vitest';
import { AGREEMENT, ExpectedTraining, type Agreement } from '../expected-training.js';
import { requireOptions } from '../given.js';
import { sameBits } from '../resume.js';

/** What a runner is asked to train. */
export interface RunnerTask {
  readonly optimizer: Optimizer;
  /** By name, as they are at the start. */
  readonly parameters: NamedTensors;
}

/** A runner at work on a {@link RunnerTask}, as the kit drives it. */
export interface RunnerAtWork extends Stateful {
  /**
   * Takes a step with these gradients of all parameters, or collects them where several batches make a step. A runner that
   * differentiates by itself takes the loss Σ⟨parameter, gradient⟩, whose gradients they are.
   */
  step(gradients: NamedTensors): MaybePromise<unknown>;
  /** The parameters in one of the views of the optimizer. */
  weights(view: string): MaybePromise<NamedTensors>;
  setHyperparameters(changes: HyperparameterValues, scope?: ChangeScope): void;
  dispose(): MaybePromise<void>;
}

/**
 * Registers the tests that every runner has to pass, with vitest: what brings gradients to rules on a runtime of its own. It
 * must take the steps of the interpreter, with groups, clipping, accumulation, averages and schedules; follow changes of
 * hyperparameters; refuse what is not finite, what is out of range, and states that do not fit, without a change; and give
 * and take states, to go on to the last bit.
 *
 * @param start called for every training
 * @param agreement how near its numbers must be to the interpreter's in float32
 */
export function describeRunner(
  name: string,
  start: (task: RunnerTask) => MaybePromise<RunnerAtWork>,
  agreement: Agreement = {},
): void {
  requireOptions(`the agreement of the runner ${name}`, agreement, AGREEMENT);
  describe(`the runner ${name}`, () => {
    const atWork: RunnerAtWork[] = [];
    afterEach(async () => {
      for (const runner of atWork.splice(0)) await runner.dispose();
    });
    const begin = async (optimizer: Optimizer): Promise<RunnerAtWork> => {
      const runner = await start({ optimizer, parameters });
      atWork.push(runner);
      return runner;
    };

    it.each(optimizers)('takes the steps of the interpreter with %s', async (_, optimizer) => {
      const runner = await begin(optimizer);
      const expected = new ExpectedTraining('float32', optimizer, parameters, gradients);
      for (let step = 1; step <= STEPS; step++) {
        await runner.step(gradients(step));
        await expected.compare(name, step, await runner.state(), agreement);
      }
    });

    it('shows the weights of every view', async () => {
      const runner = await begin(exactly);
      const run = interpreter(exactly);
      for (let step = 1; step <= STEPS; step++) {
        await runner.step(gradients(step));
        await run.applyGradients(gradients(step));
      }
      expect(run.views).toEqual(['trained', 'averaged']);
      for (const view of run.views) expect(sameBits(await runner.weights(view), await run.weights(view))).toBe(true);
    });

    it('takes a step when all of its batches are in', async () => {
      const runner = await begin(accumulate(3, momentum()));
      const counts: number[] = [];
      for (let batch = 1; batch <= 7; batch++) {
        await runner.step(gradients(batch));
        counts.push((await runner.state()).parameters.w.step);
      }
      expect(counts).toEqual([0, 0, 1, 1, 1, 2, 2]);
    });

    it('follows changes of hyperparameters from the next step on, and refuses those that are out of range', async () => {
      const runner = await begin(momentum());
      const run = interpreter(momentum());
      for (const lr of [0.5, 0.125]) {
        runner.setHyperparameters({ lr });
        run.setHyperparameters({ lr });
        await runner.step(gradients(1));
        await run.applyGradients(gradients(1));
      }
      const before = await runner.state();
      expect(() => {
        runner.setHyperparameters({ lr: -1 });
      }).toThrow('lr must be >= 0, got -1');
      expect(() => {
        runner.setHyperparameters({ rate: 1 });
      }).toThrow('"rate"');
      expect(await runner.state()).toEqual(before);
      expect(sameBits(trained(before), trained(await run.state()))).toBe(true);
    });

    it.each([NaN, Infinity])(
      'refuses gradients that are %d: all stays as it is, and the parameter is named',
      async (odd) => {
        const runner = await begin(exactly);
        await runner.step(gradients(1));
        const before = await runner.state();
        const bad = { ...gradients(2), b: tensor32([odd, 1]) };
        // Runners that only know later say so when they are asked for the next thing.
        const refused = Promise.resolve(bad)
          .then((given) => runner.step(given))
          .then(() => runner.step(gradients(2)));
        await expect(refused).rejects.toMatchObject({
          code: 'non-finite',
          message: expect.stringContaining('"b"') as unknown,
        });
        expect(await runner.state()).toEqual(before);
        const run = interpreter(exactly);
        for (const step of [1, 2]) await run.applyGradients(gradients(step));
        await runner.step(gradients(2));
        expect(sameBits(trained(await runner.state()), trained(await run.state()))).toBe(true);
      },
    );

    it('goes on from its own state to the last bit, and shares no memory with it', async () => {
      const first = await begin(exactly);
      await first.step(gradients(1));
      const state = await first.state();
      const kept = structuredClone(state);
      for (const step of [2, 3]) await first.step(gradients(step));
      const uninterrupted = await first.state();
      // Parameters of one name may be there once only.
      await first.dispose();
      const second = await begin(exactly);
      await second.step(gradients(7));
      await second.load(state);
      for (const step of [2, 3]) await second.step(gradients(step));
      expect(state).toEqual(kept);
      expect(sameBits(await second.state(), uninterrupted)).toBe(true);
    });

    it('goes on from states of the interpreter, and the interpreter from its states', async () => {
      const here = await begin(exactly);
      const there = interpreter(exactly);
      await there.applyGradients(gradients(1));
      await here.load(await there.state());
      expect(sameBits(trained(await here.state()), trained(await there.state()))).toBe(true);
      await here.step(gradients(2));
      await there.load(await here.state());
      expect(sameBits(trained(await there.state()), trained(await here.state()))).toBe(true);
    });

    it('refuses a state of another optimizer or of other parameters, and stays as it is', async () => {
      const runner = await begin(exactly);
      await runner.step(gradients(1));
      const before = await runner.state();
      const foreign = await interpreter(phased()).state();
      const { b, ...others } = before.parameters;
      const renamed: TrainingState = { ...before, parameters: { ...others, c: b } };
      for (const state of [foreign, renamed]) {
        await expect(runner.load(state)).rejects.toThrow();
        expect(await runner.state()).toEqual(before);
      }
    });

    it('is disposed of once and again, and takes no step then', async () => {
      const runner = await begin(momentum());
      await runner.step(gradients(1));
      await runner.dispose();
      await runner.dispose();
      await expect(Promise.resolve().then(() => runner.step(gradients(2)))).rejects.toThrow('disposed');
    });
  });
}

const STEPS = 4;

/** Velocity v ← v/2 + g, parameter θ ← θ − ηv. */
const momentum = defineOptimizer({
  name: 'momentum',
  hyperparameters: { lr: learningRate(0.25) },
  slots: () => ['velocity'],
  update({ param, grad, slots, hyper }) {
    const velocity = slots.velocity.mul(0.5).add(grad);
    return { param: param.sub(velocity.mul(hyper.lr)), slots: { velocity } };
  },
});

/** A step whose length is that of the gradient. */
const normalized = defineOptimizer({
  name: 'normalized',
  hyperparameters: { lr: learningRate(0.1) },
  slots: () => ['square'],
  update({ param, grad, slots, hyper, step }) {
    const square = slots.square.mul(0.9).add(grad.square());
    return { param: param.sub(grad.div(square.sqrt().add(1e-3)).mul(hyper.lr.div(step.sqrt()))), slots: { square } };
  },
});

/** One whose rate is a number of all parameters together. */
const phased = definePhasedOptimizer({
  name: 'phased',
  hyperparameters: { lr: learningRate(0.1) },
  globals: () => ['length'],
  measure: ({ grad }) => ({ sums: { length: sum(grad.abs()) } }),
  total: ({ sums }) => ({ length: sums.length }),
  update: ({ param, grad, globals, hyper }) => ({ param: param.sub(grad.mul(hyper.lr).div(globals.length.add(1))) }),
});

/** Halves and quarters, and nothing is divided: every runner computes them without rounding. */
const exactly = ema(0.5, clipByGlobalNorm(1024, momentum()));

const optimizers: readonly (readonly [string, Optimizer])[] = [
  ['a rule', normalized()],
  ['numbers of all parameters together', phased()],
  ['clipping and an average', ema(0.9, clipByGlobalNorm(1, normalized()))],
  [
    'groups of two rules, one on a schedule',
    groups([{ match: 'w', optimizer: momentum().withSchedules({ lr: linear(1, 0.5, 2) }) }], normalized()),
  ],
  ['batches that are collected', accumulate(2, normalized())],
];

const parameters: NamedTensors = {
  w: tensor32([1, 2, -3, 4, 0.5, 6], [2, 3]),
  b: tensor32([0.5, -1]),
  scale: tensor32([2], []),
};

/** Of a step, or a batch, counted from 1. */
const gradients = (step: number): NamedTensors => ({
  w: tensor32(
    [1, 2, 0.5, -1, 0.25, 4].map((x) => x * step),
    [2, 3],
  ),
  b: tensor32([2, -step]),
  scale: tensor32([step / 4], []),
});

const interpreter = (optimizer: Optimizer): Run<FloatArray> =>
  Run.start(referenceDevice('float32'), optimizer, parameters);

/** The numbers of a state, whoever wrote it. */
const trained = ({ parameters, globals = {} }: TrainingState) => ({
  globals,
  parameters: Object.fromEntries(
    Object.entries(parameters).map(([name, { value, step, slots }]) => [name, { value, step, slots }]),
  ),
});
