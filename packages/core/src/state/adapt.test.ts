import { describe, expect, it } from 'vitest';
import { movingAverage, oneMinus } from '../expression/expression.js';
import { defineOptimizer } from '../optimizer/define.js';
import { coefficient, decayRate, flag, learningRate } from '../optimizer/hyperparameters.js';
import type { Optimizer } from '../optimizer/optimizer.js';
import { referenceRunner } from '../runner/host-run.js';
import { tensor64, type NamedTensors } from '../tensor/tensor-data.js';
import { formatAdaptReport } from './adapt-report.js';
import { adaptState, type AdaptOptions } from './adapt.js';
import type { TrainingState } from './training-state.js';

const rates = { lr: learningRate(0.1), beta1: decayRate(0.9), beta2: decayRate(0.99), amsgrad: flag(false) };

/** Adam, bare. */
const adam = defineOptimizer({
  name: 'adam',
  hyperparameters: { ...rates, weightDecay: coefficient(0) },
  slots: ({ amsgrad }) => (amsgrad ? ['expAvg', 'expAvgSq', 'maxExpAvgSq'] : ['expAvg', 'expAvgSq']),
  update({ param, grad, slots, hyper: { lr, beta1, beta2 }, uses, step }) {
    const m = movingAverage(slots.expAvg, grad, beta1);
    const v = movingAverage(slots.expAvgSq, grad.square(), beta2);
    const top = uses.amsgrad ? slots.maxExpAvgSq.max(v) : v;
    const scale = lr.div(oneMinus(beta1.pow(step)));
    const root = top.div(oneMinus(beta2.pow(step))).sqrt();
    const newSlots = { expAvg: m, expAvgSq: v, ...(uses.amsgrad && { maxExpAvgSq: top }) };
    return { param: param.sub(m.mul(scale).div(root.add(1e-8))), slots: newSlots };
  },
});

/** AdaBelief, bare: the second moment is another one. */
const belief = defineOptimizer({
  name: 'belief',
  hyperparameters: { lr: learningRate(0.01), beta1: decayRate(0.9), beta2: decayRate(0.99) },
  slots: () => ['expAvg', 'expAvgVar'],
  update({ param, grad, slots, hyper: { lr, beta1, beta2 }, step }) {
    const m = movingAverage(slots.expAvg, grad, beta1);
    const s = movingAverage(slots.expAvgVar, grad.sub(m).square(), beta2);
    const scale = lr.div(oneMinus(beta1.pow(step)));
    const root = s.div(oneMinus(beta2.pow(step))).sqrt();
    return { param: param.sub(m.mul(scale).div(root.add(1e-8))), slots: { expAvg: m, expAvgVar: s } };
  },
});

/** A rule with a slot that no other has, and which may depend on its age. */
const strange = defineOptimizer({
  name: 'strange',
  hyperparameters: { lr: learningRate(0.01) },
  slots: () => [{ name: 'oddity', initial: 7 }],
  update: ({ param, slots, step }) => ({ param: param.sub(slots.oddity.div(step)), slots: { oddity: slots.oddity } }),
});

/** Momentum without bias correction. */
const plain = defineOptimizer({
  name: 'plain',
  hyperparameters: { lr: learningRate(0.01), beta1: decayRate(0.5) },
  slots: () => ['expAvg', 'other'],
  update({ param, grad, slots, hyper: { lr, beta1 } }) {
    const expAvg = movingAverage(slots.expAvg, grad, beta1);
    return { param: param.sub(expAvg.mul(lr)), slots: { expAvg, other: grad } };
  },
});

const start: NamedTensors = { w: tensor64([1, -2]), b: tensor64([0.5]) };

/** The state after `steps` steps on noisy gradients; `b` has had none in the last step. */
async function trained(optimizer: Optimizer, steps = 50): Promise<TrainingState> {
  const run = await referenceRunner().start(optimizer, start);
  for (let t = 1; t <= steps; t++) {
    const w = tensor64([1 + Math.sin(7 * t), 0.01 * Math.cos(5 * t)]);
    await run.applyGradients(t === steps ? { w } : { w, b: tensor64([Math.cos(t)]) });
  }
  return run.state();
}

describe('another optimizer', () => {
  it('keeps parameters, common slots and the count where nothing has to start anew', async () => {
    const saved = await trained(adam());
    const { state, report } = adaptState(saved, adam({ amsgrad: true }), start);
    for (const name of ['w', 'b']) {
      const { value, step, slots } = state.parameters[name];
      expect({ value, step }).toEqual({ value: saved.parameters[name].value, step: name === 'w' ? 50 : 49 });
      expect(slots).toEqual({
        ...saved.parameters[name].slots,
        maxExpAvgSq: { ...value, data: new Float64Array(value.data.length) },
      });
    }
    expect(state.step).toBe(50);
    expect(report.parameters[0].slots).toEqual([
      { name: 'expAvg', outcome: 'kept' },
      { name: 'expAvgSq', outcome: 'kept' },
      { name: 'maxExpAvgSq', outcome: 'initialized', initial: 0 },
    ]);
  });

  it('takes the mean gradient for the first where a second moment is missing, and keeps it', async () => {
    const saved = await trained(adam());
    const { state, report } = adaptState(saved, belief(), start);
    const { step, slots } = state.parameters.w;
    expect(step).toBe(1);
    saved.parameters.w.slots.expAvg.data.forEach((m, i) => {
      const mean = m / (1 - 0.9 ** 50);
      expect(slots.expAvg.data[i]).toBeCloseTo(0.1 * mean, 14);
      expect(slots.expAvgVar.data[i]).toBeCloseTo(0.01 * (0.9 * mean) ** 2, 14);
    });
    expect(state.step).toBe(50);
    expect(report.parameters[0]).toEqual({
      name: 'w',
      outcome: 'kept',
      updates: { from: 50, to: 1 },
      slots: [
        { name: 'expAvg', outcome: 'kept', factor: (1 - 0.9) / (1 - 0.9 ** 50) },
        { name: 'expAvgVar', outcome: 'seeded' },
        { name: 'expAvgSq', outcome: 'dropped' },
      ],
    });
  });

  it('goes on with steps of at most the usual length, also where the next gradient is tiny', async () => {
    const saved = await trained(belief());
    const { state } = adaptState(saved, adam({ lr: 0.01 }), start);
    /** |θ' − θ|/lr of both elements in the next step, the gradient of the second of which is tiny. */
    const strides = async (changes: Partial<TrainingState['parameters']['w']>): Promise<number[]> => {
      const { w, b } = state.parameters;
      const run = await referenceRunner().start(adam({ lr: 0.01 }), start);
      await run.load({ ...state, parameters: { w: { ...w, ...changes }, b } });
      await run.applyGradients({ w: tensor64([1, 1e-9]) });
      const { data } = (await run.state()).parameters.w.value;
      return [...data].map((x, i) => Math.abs(x - w.value.data[i]) / 0.01);
    };
    for (const stride of await strides({})) expect(stride).toBeLessThan(1.5);
    // An old mean over a fresh square has no such bound, whatever the count.
    const slots = { expAvg: saved.parameters.w.slots.expAvg, expAvgSq: tensor64([0, 0]) };
    expect((await strides({ step: 0, slots }))[1]).toBeGreaterThan(1000);
    expect((await strides({ step: 50, slots }))[1]).toBeGreaterThan(1000);
  });

  it('starts everything anew when nothing is common', async () => {
    const { state, report } = adaptState(await trained(adam()), strange(), start);
    expect(state.parameters.w.step).toBe(0);
    expect([...state.parameters.w.slots.oddity.data]).toEqual([7, 7]);
    expect(formatAdaptReport(report)).toEqual([
      'optimizer: adam -> strange, at step 50',
      'hyperparameters: lr 0.1 -> 0.01, beta1 gone, beta2 gone, amsgrad gone, weightDecay gone',
      '"w": kept; updates 50 -> 0, oddity starts at 7, expAvg dropped, expAvgSq dropped',
      '"b": kept; updates 49 -> 0, oddity starts at 7, expAvg dropped, expAvgSq dropped',
    ]);
  });

  it('keeps count and averages for a rule without bias correction', async () => {
    const saved = await trained(adam());
    const { step, slots } = adaptState(saved, plain(), start).state.parameters.w;
    expect(step).toBe(50);
    expect(slots).toEqual({ expAvg: saved.parameters.w.slots.expAvg, other: tensor64([0, 0]) });
  });

  it('changes nothing about parameters that have had no update', async () => {
    const { state } = adaptState(await trained(adam(), 0), belief(), start);
    expect(state.parameters.w).toEqual({
      value: start.w,
      step: 0,
      slots: { expAvg: tensor64([0, 0]), expAvgVar: tensor64([0, 0]) },
    });
  });

  it('takes a slot under another name only when told', async () => {
    const saved = await trained(adam());
    const { state, report } = adaptState(saved, belief(), start, { slots: { expAvgVar: 'expAvgSq' } });
    expect(state.parameters.w.step).toBe(50);
    expect(state.parameters.w.slots).toEqual({
      expAvg: saved.parameters.w.slots.expAvg,
      expAvgVar: saved.parameters.w.slots.expAvgSq,
    });
    expect(report.parameters[0].slots[1]).toEqual({ name: 'expAvgVar', outcome: 'renamed', from: 'expAvgSq' });
    const bad: [AdaptOptions['slots'], string][] = [
      [{ expAvgVar: 'velocity' }, 'wants "velocity" as "expAvgVar", but "w" has "expAvg", "expAvgSq"'],
      [{ variance: 'expAvgSq' }, 'belief has no slot "variance"'],
    ];
    for (const [slots, message] of bad) {
      expect(() => adaptState(saved, belief(), start, { slots: slots ?? {} })).toThrow(message);
    }
  });
});

describe('hyperparameters', () => {
  const saving = adam({ lr: 0.3 })
    .withGroups([{ match: 'b', hyperparameters: { beta1: 0.5 } }])
    .withSchedules({ lr: { kind: 'exponential', factor: 0.9 } });

  it('are those given, with the values at construction of the run that goes on', async () => {
    const { state, report } = adaptState(await trained(saving), adam({ lr: 0.2, weightDecay: 1e-4 }), start);
    const { hyperparameters, initial, groups, schedules } = state.optimizer;
    expect(hyperparameters).toEqual({ lr: 0.2, beta1: 0.9, beta2: 0.99, amsgrad: false, weightDecay: 1e-4 });
    expect([initial.lr, groups, schedules]).toEqual([0.3, [], {}]);
    expect(report.hyperparameters).toEqual([
      { name: 'lr', from: 0.3, to: 0.2 },
      { name: 'weightDecay', from: 0, to: 1e-4 },
    ]);
    expect([report.groups?.from.length, report.groups?.to, report.schedules?.to]).toEqual([1, [], {}]);
    expect(formatAdaptReport(report).slice(1, 4)).toEqual([
      'hyperparameters: lr 0.3 -> 0.2, weightDecay 0 -> 0.0001',
      'groups: 1 saved, 0 now',
      'schedules: lr saved, none now',
    ]);
  });

  it('are those saved when asked for', async () => {
    const saved = await trained(saving);
    expect(adaptState(saved, adam(), start, { keep: 'saved' }).state).toEqual(saved);
    expect(() => adaptState(saved, belief(), start, { keep: 'saved' })).toThrow(
      'its hyperparameters are those of "adam" and do not apply to "belief"',
    );
  });

  it('rescale an average whose decay rate they change, group by group', async () => {
    const saved = await trained(saving, 5);
    const { state, report } = adaptState(saved, adam({ beta1: 0.5 }), start);
    expect(state.parameters.w.step).toBe(5);
    const factor = (1 - 0.5 ** 5) / (1 - 0.9 ** 5);
    expect(report.parameters[0].slots[0]).toEqual({ name: 'expAvg', outcome: 'kept', factor });
    expect(state.parameters.w.slots.expAvg.data[0]).toBe(saved.parameters.w.slots.expAvg.data[0] * factor);
    // Its group had 0.5 all along.
    expect(state.parameters.b).toEqual(saved.parameters.b);
  });
});

describe('parameters', () => {
  const head = tensor64([3, 4, 5]);

  it('are added, removed and frozen as listed', async () => {
    const saved = await trained(adam());
    const { state, frozen, report } = adaptState(
      saved,
      adam(),
      { head },
      {
        added: ['head'],
        removed: ['b'],
        frozen: ['w'],
      },
    );
    const zeros = tensor64([0, 0, 0]);
    expect(state.parameters).toEqual({ head: { value: head, step: 0, slots: { expAvg: zeros, expAvgSq: zeros } } });
    expect(frozen).toEqual({ w: saved.parameters.w.value });
    expect(formatAdaptReport(report)).toEqual([
      'optimizer: adam, at step 50',
      'hyperparameters: as they were',
      '"head": added, starts afresh; expAvg starts at 0, expAvgSq starts at 0',
      '"b": removed; expAvg dropped, expAvgSq dropped',
      '"w": frozen, its value handed back; expAvg dropped, expAvgSq dropped',
    ]);
  });

  const unaccounted: [string, NamedTensors, AdaptOptions, string][] = [
    ['new ones', { ...start, head }, {}, 'the run has "head"; list it in "added"'],
    ['missing ones', { w: start.w }, {}, 'only the state has "b"; list it in "removed" or "frozen"'],
    ['added ones that are saved', start, { added: ['w'] }, '"added" lists "w"'],
    ['added ones that nobody has', start, { added: ['x'] }, '"added" lists "x"'],
    ['removed ones that are there', start, { removed: ['w'] }, '"removed" or "frozen" lists "w"'],
    ['frozen ones that nobody has', start, { frozen: ['x'] }, '"removed" or "frozen" lists "x"'],
    ['ones listed twice', { w: start.w }, { removed: ['b'], frozen: ['b'] }, 'it is listed twice: "b"'],
    ['other shapes', { ...start, w: head }, {}, '"w" has shape [2] in the state and [3] in the run'],
  ];
  it.each(unaccounted)('are an error with nothing said of %s', async (_, parameters, options, problem) => {
    const saved = await trained(adam());
    const refusal: unknown = expect.objectContaining({
      code: 'state-mismatch',
      message: expect.stringContaining(problem) as string,
    });
    expect(() => adaptState(saved, adam(), parameters, options)).toThrow(refusal);
  });
});

it('what is neither parameter nor optimizer stays', async () => {
  const saved = { ...(await trained(adam())), statistics: { mean: tensor64([1]) }, random: { seed: 3 } };
  const { statistics, random, origin } = adaptState(saved, belief(), start).state;
  expect({ statistics, random, origin }).toEqual({
    statistics: saved.statistics,
    random: { seed: 3 },
    origin: 'reference',
  });
});
