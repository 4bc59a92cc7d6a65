import { describe, expect, it } from 'vitest';
import {
  bfloat16,
  coefficient,
  decayRate,
  defineOptimizer,
  flag,
  learningRate,
  movingAverage,
  oneMinus,
  referenceDevice,
  Run,
  meanings,
  ema,
  swa,
  groups,
  accumulate,
  clipByGlobalNorm,
  lossScaling,
  asMatrix,
  asParam,
  mean,
  anyNumber,
  reduceOnPlateau,
  tensor64,
  type NamedTensors,
  type Optimizer,
  type TrainingState,
  exponential,
  tensor32,
} from '@adakit/core';
import { formatAdaptReport } from './adapt-report.js';
import { adaptState, type AdaptOptions } from './adapt.js';

const rates = { lr: learningRate(0.1), beta1: decayRate(0.9), beta2: decayRate(0.99), amsgrad: flag(false) };

const expAvg = { name: 'expAvg', meaning: { of: meanings.meanOfGradient, decay: 'beta1' } } as const;
const expAvgSq = { name: 'expAvgSq', meaning: { of: meanings.meanOfSquare, decay: 'beta2' } } as const;
const maxExpAvgSq = {
  name: 'maxExpAvgSq',
  meaning: { of: meanings.largestMeanOfSquare, decay: 'beta2', joinsLate: true },
} as const;

/** Adam, bare. */
const adam = defineOptimizer({
  name: 'adam',
  hyperparameters: { ...rates, weightDecay: coefficient(0) },
  slots: ({ amsgrad }) => [expAvg, expAvgSq, ...(amsgrad ? [maxExpAvgSq] : [])],
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
  slots: () => [expAvg, { name: 'expAvgVar', meaning: { of: meanings.meanOfDeviation, decay: 'beta2' } }],
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
  slots: () => [{ name: 'oddity', start: 7 }],
  update: ({ param, slots, step }) => ({ param: param.sub(slots.oddity.div(step)), slots: { oddity: slots.oddity } }),
});

/** Momentum without bias correction. */
const plain = defineOptimizer({
  name: 'plain',
  hyperparameters: { lr: learningRate(0.01), beta1: decayRate(0.5) },
  slots: () => [expAvg, 'other'],
  update({ param, grad, slots, hyper: { lr, beta1 } }) {
    const m = movingAverage(slots.expAvg, grad, beta1);
    return { param: param.sub(m.mul(lr)), slots: { expAvg: m, other: grad } };
  },
});

const start: NamedTensors = { w: tensor64([1, -2]), b: tensor64([0.5]) };

/** The state after `steps` steps on noisy gradients; `b` has had none in the last step. */
async function trained(optimizer: Optimizer, steps = 50): Promise<TrainingState> {
  const run = Run.start(referenceDevice(), optimizer, start);
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
      const run = Run.start(referenceDevice(), adam({ lr: 0.01 }), start);
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
    expect(state.parameters.w).toMatchObject({
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
  const saving = groups(
    [{ match: 'b', hyperparameters: { beta1: 0.5 } }],
    adam({ lr: 0.3 }).withSchedules({ lr: exponential(0.9) }),
  );

  it('are those given, with the values at construction of the run that goes on', async () => {
    const { state, report } = adaptState(await trained(saving), adam({ lr: 0.2, weightDecay: 1e-4 }), start);
    expect(state.optimizer).toEqual({
      kind: 'rule',
      name: 'adam',
      hyperparameters: { lr: 0.2, beta1: 0.9, beta2: 0.99, amsgrad: false, weightDecay: 1e-4 },
      initial: { lr: 0.3, beta1: 0.9, beta2: 0.99, amsgrad: false, weightDecay: 0 },
      schedules: {},
    });
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
      'its hyperparameters are those of "groups(adam)" and do not apply to "belief"',
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
    expect(state.parameters).toMatchObject({
      head: { value: head, step: 0, slots: { expAvg: zeros, expAvgSq: zeros } },
    });
    expect(Object.keys(state.parameters)).toEqual(['head']);
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

describe('what slots hold decides, not what they are called', () => {
  /** A stranger's optimizer: Adam's quantities under other names, with other names for its rates. */
  const stranger = defineOptimizer({
    name: 'stranger',
    hyperparameters: { lr: learningRate(0.1), momentum: decayRate(0.8), smoothing: decayRate(0.99) },
    slots: () => [
      { name: 'second', meaning: { of: meanings.meanOfSquare, decay: 'smoothing' } },
      { name: 'first', meaning: { of: meanings.meanOfGradient, decay: 'momentum' } },
    ],
    update({ param, grad, slots, hyper: { lr, momentum, smoothing }, step }) {
      const first = movingAverage(slots.first, grad, momentum);
      const second = movingAverage(slots.second, grad.square(), smoothing);
      const scale = lr.div(oneMinus(momentum.pow(step)));
      return { param: param.sub(first.mul(scale).div(second.sqrt().add(1e-8))), slots: { first, second } };
    },
  });
  /** Adam's names for something else. */
  const impostor = (meaning?: string) =>
    defineOptimizer({
      name: 'impostor',
      hyperparameters: { lr: learningRate(0.1), beta1: decayRate(0.9), beta2: decayRate(0.99) },
      slots: () =>
        (['expAvg', 'expAvgSq'] as const).map((name) => ({
          name,
          ...(meaning && { meaning: { of: meaning + name } }),
        })),
      update: ({ param, grad, slots }) => ({
        param: param.sub(grad),
        slots: { expAvg: slots.expAvg.sub(grad), expAvgSq: slots.expAvgSq.add(1e6) },
      }),
    })();

  it('a stranger’s optimizer goes on with ours, and ours with a stranger’s, rescaled for their rates', async () => {
    const saved = await trained(adam());
    const { state, report } = adaptState(saved, stranger(), start);
    const factor = (1 - 0.8 ** 50) / (1 - 0.9 ** 50);
    expect(report.parameters[0]).toEqual({
      name: 'w',
      outcome: 'kept',
      updates: { from: 50, to: 50 },
      slots: [
        { name: 'second', outcome: 'renamed', from: 'expAvgSq' },
        { name: 'first', outcome: 'renamed', from: 'expAvg', factor },
      ],
    });
    expect(state.parameters.w.slots.second).toEqual(saved.parameters.w.slots.expAvgSq);
    const { slots } = adaptState(state, adam(), start).state.parameters.w;
    saved.parameters.w.slots.expAvg.data.forEach((m, i) => {
      expect(slots.expAvg.data[i]).toBeCloseTo(m, 14);
    });
  });

  it.each([
    ['nothing that is said', undefined],
    ['something else', 'odd '],
  ])('slots with Adam’s names that hold %s are not taken for Adam’s', async (_, meaning) => {
    const saved = await trained(impostor(meaning));
    const { state, report } = adaptState(saved, adam(), start);
    expect(state.parameters.w).toMatchObject({
      step: 0,
      slots: { expAvg: tensor64([0, 0]), expAvgSq: tensor64([0, 0]) },
    });
    expect(report.parameters[0].slots.map(({ outcome }) => outcome)).toEqual([
      'initialized',
      'initialized',
      'dropped',
      'dropped',
    ]);
    // The same optimizer goes on with what nobody else understands.
    expect(adaptState(saved, impostor(meaning).with({ lr: 0.5 }), start).state.parameters).toEqual(saved.parameters);
  });

  it('the same quantity along other axes is another one', async () => {
    const factored = defineOptimizer({
      name: 'factored',
      hyperparameters: { lr: learningRate(0.1), beta2: decayRate(0.99) },
      slots: () => [
        { name: 'row', shape: ['rows', 1], meaning: { of: meanings.meanOfSquare, decay: 'beta2', joinsLate: true } },
        { name: 'col', shape: [1, 'cols'], meaning: { of: meanings.meanOfSquare, decay: 'beta2', joinsLate: true } },
        { name: 'kept', start: 'param', dtype: bfloat16, meaning: { of: 'start', joinsLate: true } },
      ],
      update({ param, grad, slots }) {
        const squares = asMatrix(grad.square());
        const row = slots.row.add(mean(squares, 'cols'));
        const col = slots.col.add(mean(squares, 'rows'));
        return { param: param.sub(asParam(row.mul(col))), slots: { row, col, kept: slots.kept } };
      },
    });
    const parameters = { m: tensor64([1, 2, 3, 1 + 2 ** -20], [2, 2]) };
    const run = Run.start(referenceDevice(), adam(), parameters);
    await run.applyGradients(parameters);
    const { state, report } = adaptState(await run.state(), factored(), parameters);
    const { slots, step, programHash } = state.parameters.m;
    expect(step).toBe(1);
    expect(slots.row).toEqual({ ...tensor64([0, 0], [2, 1]), axes: ['rows', 1] });
    expect(slots.col).toEqual({ ...tensor64([0, 0], [1, 2]), axes: [1, 'cols'] });
    // What starts at the parameter does so now, in its own format.
    const { data } = state.parameters.m.value;
    expect([...slots.kept.data].map((x, i) => Math.abs(x - data[i]) <= Math.abs(data[i]) * 2 ** -8)).not.toContain(
      false,
    );
    expect(slots.kept).toMatchObject({ narrow: 'bfloat16' });
    expect(formatAdaptReport(report).at(-1)).toContain('kept starts from the parameter');
    const fresh = Run.start(referenceDevice(), factored(), parameters);
    expect(programHash).toBe((await fresh.state()).parameters.m.programHash);
    await fresh.load(state);
    const again = adaptState(await fresh.state(), factored({ lr: 0.5 }), parameters).state.parameters.m;
    expect(again).toEqual(state.parameters.m);
  });
});

describe('trees', () => {
  it('keep what a wrapper keeps when the rule inside changes, and the rule’s slots when a wrapper joins', async () => {
    const saved = await trained(adam());
    const joined = adaptState(saved, ema(0.9, accumulate(2, clipByGlobalNorm(1, adam()))), start);
    const { w } = joined.state.parameters;
    expect(w.step).toBe(50);
    expect(w.slots).toMatchObject({
      expAvg: saved.parameters.w.slots.expAvg,
      'ema.average': saved.parameters.w.value,
      'accumulate.gradientSum': tensor64([0, 0]),
    });
    expect(joined.state.globals).toEqual({ 'clipByGlobalNorm.norm': 0 });
    expect(formatAdaptReport(joined.report)[0]).toBe(
      'optimizer: adam -> ema(accumulate(clipByGlobalNorm(adam))), at step 50',
    );

    const averaged = await trained(ema(0.9, adam()));
    const { state } = adaptState(averaged, swa({}, belief()), start);
    // The second moment of the rule starts anew, the average of the weights does not.
    expect(state.parameters.w.step).toBe(1);
    expect(state.parameters.w.slots['swa.average']).toEqual(averaged.parameters.w.slots['ema.average']);
    const { step, slots } = adaptState(averaged, strange(), start).state.parameters.w;
    expect([step, Object.keys(slots)]).toEqual([0, ['oddity']]);
  });

  it('give every group what its own rule needs', async () => {
    const saved = await trained(adam());
    const mixed = groups([{ name: 'biases', match: 'b', optimizer: belief() }], adam());
    const { state } = adaptState(saved, mixed, start);
    expect(state.parameters.w).toMatchObject({ step: 50, slots: saved.parameters.w.slots });
    expect(Object.keys(state.parameters.b.slots)).toEqual(['expAvg', 'expAvgVar']);
    const back = adaptState(state, adam(), start).state;
    expect(back.parameters.w).toEqual(saved.parameters.w);
    expect(back.parameters.b.step).toBe(1);
    await Run.start(referenceDevice(), mixed, start).load(state);
  });

  it('take the hyperparameters at construction of the same pieces, wherever they are', async () => {
    const bounded = defineOptimizer({
      name: 'bounded',
      hyperparameters: { lr: learningRate(0.1), bound: anyNumber(1) },
      update: ({ param, grad, hyper, initial }) => ({ param: param.sub(grad.mul(hyper.lr).div(initial.lr)) }),
    });
    const group = (match: 'b' | 'w', lr: number) => ({ name: match, match, optimizer: bounded({ lr }) });
    const saved = await trained(ema(0.9, groups([group('b', 0.7), group('w', 0.5)], bounded({ lr: 0.3 }))));
    // Groups are known by their names, not by their places.
    const given = groups([group('w', 3), group('b', 2)], bounded({ lr: 1 }));
    expect(adaptState(saved, given, start).state.optimizer).toMatchObject({
      groups: [
        { optimizer: { initial: { lr: 0.5 }, hyperparameters: { lr: 3 } } },
        { optimizer: { initial: { lr: 0.7 }, hyperparameters: { lr: 2 } } },
      ],
      rest: { initial: { lr: 0.3 }, hyperparameters: { lr: 1 } },
    });
  });

  it('take those at construction of groups that change the rule alone', async () => {
    const own = (hyperparameters: Readonly<Record<string, number>>, lr = 0.3) =>
      groups([{ name: 'b', match: 'b', hyperparameters }], adam({ lr }));
    const saved = await trained(own({ lr: 0.5 }));
    const groupOf = ({ optimizer }: TrainingState) => (optimizer.kind === 'groups' ? optimizer.groups[0] : undefined);
    const adapted = (optimizer: Optimizer, state = saved) => groupOf(adaptState(state, optimizer, start).state);
    expect(adapted(own({ lr: 0.1 }))).toMatchObject({ hyperparameters: { lr: 0.1 }, initial: { lr: 0.5 } });
    expect(adapted(own({ beta1: 0.8 }, 1))).toMatchObject({ hyperparameters: { beta1: 0.8 }, initial: { lr: 0.5 } });
    expect(adaptState(saved, own({ lr: 0.5 }), start).state).toEqual(saved);
    const changed = await trained(own({ lr: 0.5 }).with({ lr: 0.2 }, { group: 'b' }));
    expect(adapted(own({ lr: 0.1 }), changed)).toMatchObject({ hyperparameters: { lr: 0.1 }, initial: { lr: 0.5 } });
    // Another rule began now.
    expect(adapted(groups([{ name: 'b', match: 'b', hyperparameters: { lr: 2 } }], belief()))).not.toHaveProperty(
      'initial',
    );
  });

  it('keep what belongs to all parameters together as far as it has a place, and say what has none', async () => {
    const plateaued = adam().withSchedules({ lr: reduceOnPlateau({ by: 'loss' }) });
    const rich = lossScaling(accumulate(2, clipByGlobalNorm(1, plateaued)));
    const run = Run.start(referenceDevice(), rich, start);
    for (let t = 0; t < 3; t++) await run.applyGradients(start, { loss: 1 / (t + 1) });
    const saved = await run.state();
    expect(saved).toMatchObject({ collected: { batches: 1 }, lossScale: { good: 1 } });
    expect(Object.keys(saved.plateaus ?? {})).toEqual([':lr']);
    const same = adaptState(saved, rich.with({ lr: 0.2 }), start);
    expect(same.state).toEqual({ ...saved, optimizer: rich.with({ lr: 0.2 }).toConfig() });
    expect(same.report.dropped).toBeUndefined();
    const { state, report } = adaptState(saved, adam(), start);
    expect(Object.keys(state)).toEqual(['optimizer', 'step', 'parameters', 'origin']);
    expect(report.dropped).toEqual([
      'the number clipByGlobalNorm.norm',
      'the gradients of 1 batches of a step that is not complete',
      'the loss scale',
      'what the schedule of :lr has seen',
    ]);
  });
});

it('sums of batches are zero where the step that they were for is dropped', async () => {
  const optimizer = accumulate(2, adam());
  const run = Run.start(referenceDevice(), optimizer, { w: tensor32([1]) });
  await run.applyGradients({ w: tensor32([1]) });
  const values = { w: tensor32([1]), late: tensor32([1]) };
  const { state, report } = adaptState(await run.state(), optimizer, values, { added: ['late'] });
  expect(report.dropped).toEqual(['the gradients of 1 batches of a step that is not complete']);
  expect([...state.parameters.w.slots['accumulate.gradientSum'].data]).toEqual([0]);
});
