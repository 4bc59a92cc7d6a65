import { describe, expect, it } from 'vitest';
import { accumulate, clipByGlobalNorm, lossScaling } from '../compose/gradients.js';
import { jsDevice } from '../device/js/device.js';
import { defineOptimizer } from '../optimizer/define.js';
import { learningRate } from '../optimizer/hyperparameters.js';
import { groups } from '../optimizer/groups.js';
import type { ParameterMatch, ParameterSpec } from '../optimizer/match.js';
import type { Optimizer } from '../optimizer/optimizer.js';
import { restoreOptimizer } from '../optimizer/restore.js';
import { tensor32, type FloatArray } from '../tensor/tensor-data.js';
import { keptState } from './kept-state.js';
import { Run } from './run.js';

/** v ← v/2 + g, θ ← θ − ηv. */
const momentum = defineOptimizer({
  name: 'momentum',
  hyperparameters: { lr: learningRate(1) },
  slots: () => ['velocity'],
  update({ param, grad, slots, hyper: { lr } }) {
    const velocity = slots.velocity.mul(0.5).add(grad);
    return { param: param.sub(velocity.mul(lr)), slots: { velocity } };
  },
});

describe('parameters of a run', () => {
  it('may live in buffers that stay their owners’', async () => {
    const buffer = Float32Array.of(1, 2);
    const run = Run.start(jsDevice(), momentum(), { w: { buffer, shape: [2] } });
    await run.applyGradients({ w: tensor32([1, 1]) });
    expect([...buffer]).toEqual([0, 1]);
  });

  it('may be written by a function into the run’s own buffer', async () => {
    const write = (buffer: FloatArray): void => {
      buffer.set([1, 2]);
    };
    const run = Run.start(jsDevice(), momentum(), { w: { write, shape: [2] } });
    await run.applyGradients({ w: tensor32([1, 1]) });
    expect([...(await run.weights()).w.data]).toEqual([0, 1]);
  });

  it('are bound to what updates them ahead of the first step, where that is asked for', async () => {
    const device = jsDevice();
    const compiled: string[] = [];
    const watched: typeof device = {
      ...device,
      compile(program) {
        compiled.push(program.hash);
        return device.compile(program);
      },
    };
    const run = Run.start(watched, momentum(), { w: tensor32([1, 2]), b: tensor32([3]) });
    expect(compiled).toEqual([]);
    run.prepare();
    expect(compiled).toHaveLength(1);
    await run.applyGradients({ w: tensor32([1, 1]), b: tensor32([1]) });
    expect(compiled).toHaveLength(1);
    expect([...(await run.weights()).w.data]).toEqual([0, 1]);
  });

  it('are left to the step where it makes what belongs to all of them', async () => {
    const run = Run.start(jsDevice(), clipByGlobalNorm(10, momentum()), { w: tensor32([1, 2]) });
    run.prepare();
    await run.applyGradients({ w: tensor32([3, 4]) });
    expect([...(await run.weights()).w.data]).toEqual([-2, -2]);
  });

  it('go on from what was kept for them, in a run that goes on from a step', async () => {
    const kept = keptState({ step: 4, slots: { velocity: tensor32([8]) } });
    const run = Run.start(jsDevice(), momentum(), {}, { resume: { step: 7 } });
    run.add({ w: { value: tensor32([10]), kept } });
    await run.applyGradients({ w: tensor32([1]) });
    const state = await run.state();
    expect(state).toMatchObject({ step: 8, parameters: { w: { step: 5, slots: { velocity: tensor32([5]) } } } });
    expect([...state.parameters.w.value.data]).toEqual([5]);
  });

  it('refuse what was kept for others, and are not added then', () => {
    const run = Run.start(jsDevice(), momentum(), {});
    const kept = keptState({ step: 4, slots: { velocity: tensor32([8, 8]), other: tensor32([1]) } });
    expect(() => {
      run.add({ w: { value: tensor32([10]), kept } });
    }).toThrow(/velocity" of "w" has shape \[2\][^]*slot "other"/);
    expect(run.parameters).toEqual([]);
  });

  it('need not be there for every group where parameters come and go', async () => {
    const grouped = groups([{ match: 'later', hyperparameters: { lr: 2 } }], momentum());
    expect(() => Run.start(jsDevice(), grouped, { w: tensor32([1]) })).toThrow('matches none');
    const run = Run.start(jsDevice(), grouped, { w: tensor32([1]) }, { openGroups: true });
    run.add({ later: tensor32([1]) });
    await run.applyGradients({ w: tensor32([1]), later: tensor32([1]) });
    const { w, later } = await run.weights();
    expect([w.data[0], later.data[0]]).toEqual([0, -1]);
    run.remove(['later']);
    run.setHyperparameters({ lr: 3 });
    expect(run.optimizer.hyperparameters.lr).toBe(3);
  });
});

describe('a run that goes on', () => {
  it('has what joins it in the groups that choose it, of whom states know the names, and what was there as it was', async () => {
    const isBias = ({ name }: ParameterSpec): boolean => name.endsWith('bias');
    const optimizer = (match: ParameterMatch) =>
      accumulate(1, groups([{ name: 'bias', match, hyperparameters: { lr: 2 } }], momentum()));
    const start = () => Run.start(jsDevice(), optimizer(isBias), { 'a.bias': tensor32([0]), w: tensor32([0]) });
    const whole = start();
    const state = await whole.state();
    // What chooses nothing any more has no say in what the state knows.
    const changed = optimizer(({ name }) => name === 'b.bias' || name === 'w');
    const resumed = [start(), Run.start(jsDevice(), changed, { 'a.bias': tensor32([0]), w: tensor32([0]) })];
    // What maps a state to other names leaves lists of names of patterns as well.
    resumed.push(Run.start(jsDevice(), optimizer(/bias$/), { 'a.bias': tensor32([0]), w: tensor32([0]) }));
    for (const run of [whole, ...resumed]) {
      if (run !== whole) await run.load(structuredClone(state));
      run.add({ 'b.bias': tensor32([0]) });
      await run.applyGradients({ 'a.bias': tensor32([1]), 'b.bias': tensor32([1]), w: tensor32([1]) });
      const weights = Object.entries(await run.weights()).map(([name, { data }]) => [name, data[0]]);
      expect(Object.fromEntries(weights)).toEqual({ 'a.bias': -2, 'b.bias': -2, w: -1 });
    }
    expect((await resumed[0].state()).optimizer).toEqual((await whole.state()).optimizer);
  });

  it('may load any number of states with groups that choose by functions', () => {
    const grouped = groups([{ match: ({ name }) => name === 'b' }], momentum());
    const config = grouped.toConfig([{ name: 'a', shape: [] }]);
    let optimizer: Optimizer = grouped;
    for (let i = 0; i < 20_000; i++) optimizer = restoreOptimizer(optimizer, config, ['a']);
    expect(['a', 'b'].map((name) => optimizer.node.resolve({ name, shape: [] }).path)).toEqual(['', 'group1/']);
  });

  it('has the loss scale and the collected batches of before', async () => {
    const optimizer = lossScaling(accumulate(2, momentum()), { initialScale: 8 });
    const resume = { step: 3, collected: { batches: 1, samples: 1 }, lossScale: { scale: 2, good: 5 } };
    const kept = keptState({ step: 3, slots: { velocity: tensor32([0]), 'accumulate.gradientSum': tensor32([4]) } });
    const run = Run.start(jsDevice(), optimizer, { w: { value: tensor32([10]), kept } }, { resume });
    expect(run.lossScale).toBe(2);
    const { outcome } = await run.applyGradients({ w: tensor32([4]) });
    expect(outcome).toBe('taken');
    expect((await run.weights()).w.data[0]).toBe(10 - (4 + 4 / 2) / 2);
  });

  it('can only scale back what is scaled, which shows before there are parameters', () => {
    expect(() => Run.start(jsDevice(), momentum(), {}, { nonFinite: 'scaleBack' })).toThrow('lossScaling()');
    Run.start(jsDevice(), lossScaling(momentum()), {}, { nonFinite: 'scaleBack' });
  });

  it('that come between the batches of a step take part in it only with a gradient', async () => {
    const run = Run.start(jsDevice(), accumulate(2, momentum()), { w: tensor32([1]) });
    await run.applyGradients({ w: tensor32([1]) });
    run.add({ late: tensor32([8]) });
    await run.applyGradients({ w: tensor32([1]) });
    expect((await run.state()).parameters).toMatchObject({ w: { step: 1 }, late: { step: 0 } });
  });
});
