import { describe, expect, it } from 'vitest';
import { norm } from '../expression/expression.js';
import { defineOptimizer } from '../optimizer/define.js';
import { coefficient, decayRate, flag, learningRate } from '../optimizer/hyperparameters.js';
import { tensor32, tensor64, type NamedTensors } from '../tensor/tensor-data.js';
import type { TrainingState } from '../state/training-state.js';
import { loopRunner, referenceRunner } from './host-run.js';
import type { Run } from './runner.js';

/** Momentum whose step size falls with the parameter's own step count, so that counts show in the numbers. */
const demo = defineOptimizer({
  name: 'demo',
  hyperparameters: { lr: learningRate(0.5), beta: decayRate(0.5), weightDecay: coefficient(0), peak: flag(false) },
  slots: ({ peak }) => ['m', ...(peak ? ([{ name: 'v', initial: 2 }] as const) : [])],
  update({ param, grad, hyper: { lr, beta, weightDecay }, slots, step, uses }) {
    const g = uses.weightDecay ? grad.add(param.mul(weightDecay)) : grad;
    const m = slots.m.mul(beta).add(g);
    const v = uses.peak ? slots.v.max(g.abs()) : undefined;
    return { param: param.sub(m.mul(lr.div(step))), slots: { m, ...(v && { v }) } };
  },
});

const runners = [referenceRunner(), referenceRunner('float32'), loopRunner()];
const parameters: NamedTensors = { w: tensor32([1, 2, 3, 4], [2, 2]), b: tensor32([0.5]) };
const gradients: NamedTensors = { w: tensor32([1, 1, 2, 2], [2, 2]), b: tensor32([4]) };
const values = (state: TrainingState, name: string): number[] => [...state.parameters[name].value.data];

it('the host runners name their backend and precision', () => {
  expect(runners.map(({ backend, precision }) => [backend, precision])).toEqual([
    ['reference', 'float64'],
    ['reference-f32', 'float32'],
    ['js', 'float32'],
  ]);
});

describe.each(runners)('a run on $backend', (runner) => {
  const start = (optimizer = demo(), on = parameters): Promise<Run> => runner.start(optimizer, on);

  it('updates every parameter that has a gradient', async () => {
    const run = await start();
    await run.applyGradients(gradients);
    const state = await run.state();
    expect(values(state, 'w')).toEqual([0.5, 1.5, 2, 3]);
    expect(values(state, 'b')).toEqual([-1.5]);
    expect([...state.parameters.b.slots.m.data]).toEqual([4]);
  });

  it('leaves parameters without a gradient, their slots and step counts as they are', async () => {
    const run = await start();
    await run.applyGradients({ b: gradients.b });
    await run.applyGradients(gradients);
    const { step, parameters } = await run.state();
    expect([step, parameters.b.step, parameters.w.step]).toEqual([2, 2, 1]);
    // w took its first step, with lr / 1.
    expect([...parameters.w.value.data]).toEqual([0.5, 1.5, 2, 3]);
  });

  it('works on copies: neither the parameters given nor the states taken change', async () => {
    const given = tensor32([1]);
    const run = await start(demo(), { b: given });
    const before = await run.state();
    const gradient = tensor32([4]);
    await run.applyGradients({ b: gradient });
    expect([...given.data, ...gradient.data, ...values(before, 'b'), ...before.parameters.b.slots.m.data]).toEqual([
      1, 4, 1, 0,
    ]);
  });

  it('takes gradients of either precision', async () => {
    const run = await start();
    await run.applyGradients({ b: tensor64([4]) });
    expect(values(await run.state(), 'b')).toEqual([-1.5]);
  });

  it('uses changed hyperparameters from the next step on, starting new slots at their initial value', async () => {
    const run = await start();
    await run.applyGradients({ b: tensor32([1]) });
    run.setHyperparameters({ lr: 2, peak: true });
    await run.applyGradients({ b: tensor32([1]) });
    const { b } = (await run.state()).parameters;
    expect([...b.value.data]).toEqual([0.5 - 0.5 * 1 - 1.5]);
    expect([...b.slots.v.data]).toEqual([2]);
    expect(run.optimizer.hyperparameters.lr).toBe(2);
  });

  it('gives each parameter the hyperparameters, rule and slots of its group', async () => {
    const grouped = demo().withGroups([{ match: /^w/, hyperparameters: { lr: 0.25, weightDecay: 1, peak: true } }]);
    const run = await start(grouped);
    await run.applyGradients(gradients);
    const state = await run.state();
    expect(values(state, 'w')).toEqual([0.5, 1.25, 1.75, 2.5]);
    expect(values(state, 'b')).toEqual([-1.5]);
    expect(Object.keys(state.parameters.w.slots)).toEqual(['m', 'v']);
    expect(Object.keys(state.parameters.b.slots)).toEqual(['m']);
  });

  it('accepts parameters without elements or without dimensions', async () => {
    const normed = defineOptimizer({
      name: 'normed',
      hyperparameters: {},
      slots: () => [],
      update: ({ param, grad }) => ({ param: param.sub(grad.div(norm(grad))) }),
    });
    const run = await start(normed(), { empty: tensor32([], [0, 3]), number: tensor32([3], []) });
    await run.applyGradients({ empty: tensor32([], [0, 3]), number: tensor32([-2], []) });
    const state = await run.state();
    expect(state.parameters.empty.value.shape).toEqual([0, 3]);
    expect(state.parameters.number.value.shape).toEqual([]);
    expect(values(state, 'number')).toEqual([4]);
  });

  const badGradients: [string, NamedTensors, string, string][] = [
    [
      'an unknown parameter',
      { ...gradients, c: tensor32([1]) },
      'unknown-parameter',
      'gradient for "c", but the run has "w", "b"',
    ],
    [
      'another shape',
      { w: gradients.w, b: tensor32([1], [1, 1]) },
      'invalid-gradient',
      'the gradient of "b" has shape [1, 1], the parameter has [1]',
    ],
    [
      'too few elements',
      { w: gradients.w, b: { ...tensor32([1]), data: new Float32Array() } },
      'invalid-gradient',
      'the gradient of "b" has shape [1] but 0 elements',
    ],
  ];
  it.each(badGradients)('refuses a gradient of %s and updates nothing', async (_, bad, code, message) => {
    const run = await start();
    await run.applyGradients(gradients);
    const before = await run.state();
    await expect(run.applyGradients(bad)).rejects.toThrow(expect.objectContaining({ code, message }));
    expect(await run.state()).toEqual(before);
  });

  it('refuses unknown or invalid hyperparameters and keeps those it has', async () => {
    const run = await start();
    expect(() => {
      run.setHyperparameters({ lr: -1 });
    }).toThrow('demo: lr must be >= 0, got -1');
    expect(() => {
      run.setHyperparameters({ lrr: 1 });
    }).toThrow('did you mean "lr"?');
    expect(run.optimizer.hyperparameters.lr).toBe(0.5);
  });

  it('goes on from a loaded state as the run it was taken from', async () => {
    const first = await start(demo({ lr: 0.3, weightDecay: 0.1 }));
    await first.applyGradients({ b: gradients.b });
    await first.applyGradients(gradients);
    first.setHyperparameters({ lr: 0.2 });
    const second = await start(demo(), { w: tensor32([0, 0, 0, 0], [2, 2]), b: tensor32([0]) });
    await second.load(await first.state());
    for (const run of [first, second]) await run.applyGradients(gradients);
    expect(await second.state()).toEqual(await first.state());
  });

  it('shares no memory with a loaded state', async () => {
    const run = await start();
    await run.applyGradients(gradients);
    const state = await run.state();
    const kept = structuredClone(state);
    await run.load(state);
    await run.applyGradients(gradients);
    expect(state).toEqual(kept);
  });

  it('refuses a state that does not fit and stays as it is', async () => {
    const run = await start();
    await run.applyGradients(gradients);
    const before = await run.state();
    const other = await (await start(demo({ lr: 9 }), { b: tensor32([0]) })).state();
    await expect(run.load(other)).rejects.toThrow(/the state does not fit this run:\n.*it lacks the parameter "w"/);
    expect(await run.state()).toEqual(before);
    expect(run.optimizer.hyperparameters.lr).toBe(0.5);
  });

  it('says so when it is used after its disposal', async () => {
    const run = await start();
    await run.dispose();
    await run.dispose();
    const disposed = expect.objectContaining({ code: 'disposed' }) as Error;
    await expect(run.applyGradients(gradients)).rejects.toThrow(disposed);
    await expect(run.state()).rejects.toThrow(disposed);
  });
});

it('a state moves between precisions: float32 to float64 without loss, back rounded to nearest', async () => {
  const [wide, narrow] = [
    await referenceRunner().start(demo(), parameters),
    await loopRunner().start(demo(), parameters),
  ];
  await narrow.applyGradients({ b: tensor32([0.1]) });
  await wide.load(await narrow.state());
  expect(values(await wide.state(), 'b')).toEqual(values(await narrow.state(), 'b'));
  await wide.applyGradients({ b: tensor64([0.1]) });
  await narrow.load(await wide.state());
  expect(values(await narrow.state(), 'b')).toEqual(values(await wide.state(), 'b').map(Math.fround));
});
