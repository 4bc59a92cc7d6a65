import { describe, expect, it } from 'vitest';
import { jsDevice } from '../device/js/device.js';
import { defineOptimizer } from '../optimizer/define.js';
import { decayRate, learningRate } from '../optimizer/hyperparameters.js';
import { groups } from '../optimizer/groups.js';
import type { Optimizer } from '../optimizer/optimizer.js';
import { makePlan } from '../plan/plan.js';
import { Run } from '../run/run.js';
import type { TrainingState } from '../run/training-state.js';
import { tensor32 } from '../tensor/tensor-data.js';
import {
  bounded,
  constantFactor,
  cosine,
  cosineRestarts,
  cyclic,
  exponential,
  inverseSqrt,
  inverseTime,
  linear,
  milestones,
  oneCycle,
  piecewise,
  polynomial,
  product,
  reduceOnPlateau,
  scaled,
  sequence,
  sqrtDecay,
  stepDecay,
  warmup,
  warmupStableDecay,
} from './factories.js';
import { parseSchedule } from './parse.js';
import { scheduleFactor, type PlateauState, type Schedule } from './schedule.js';

const factors = (schedule: Schedule, steps: number): number[] =>
  Array.from({ length: steps }, (_, i) => scheduleFactor(schedule, i + 1));

describe('a schedule gives the factor at each step, counted from 1', () => {
  const cases: [string, Schedule, number[]][] = [
    ['constantFactor', constantFactor(0.5, 2), [0.5, 0.5, 1, 1]],
    ['stepDecay', stepDecay(2, 0.5), [1, 1, 0.5, 0.5, 0.25, 0.25]],
    ['milestones', milestones([2, 4], 0.1), [1, 1, 0.1, 0.1, 0.1 ** 2, 0.1 ** 2]],
    ['exponential', exponential(0.5), [1, 0.5, 0.25, 0.125]],
    ['linear', linear(1, 0, 4), [1, 0.75, 0.5, 0.25, 0, 0]],
    [
      'polynomial',
      polynomial(4, 2, 0.25),
      [1, 0.25 + 0.75 * 0.75 ** 2, 0.25 + 0.75 * 0.25, 0.25 + 0.75 / 16, 0.25, 0.25],
    ],
    ['inverseSqrt', inverseSqrt(4), [0.25, 0.5, 0.75, 1, Math.sqrt(4 / 5), Math.sqrt(4 / 6)]],
    ['scaled', scaled(3, exponential(0.5)), [3, 1.5, 0.75]],
    ['product', product(linear(0, 1, 2), exponential(0.5)), [0, 0.25, 0.25, 0.125]],
    ['product of nothing', product(), [1, 1]],
    [
      'sequence',
      sequence({ schedule: linear(0, 1, 2), steps: 2 }, { schedule: exponential(0.5), steps: 1 }),
      [0, 0.5, 1, 0.5, 0.25],
    ],
    ['warmup', warmup(4, exponential(0.5)), [0.25, 0.5, 0.75, 1, 1, 0.5, 0.25]],
    [
      'warmupStableDecay',
      warmupStableDecay({ warmup: 2, stable: 3, decay: 4 }, 0.2),
      [0.5, 1, 1, 1, 1, 1, 0.8, 0.6, 0.4, 0.2, 0.2],
    ],
    [
      'warmupStableDecay, cosine',
      warmupStableDecay({ warmup: 1, stable: 1, decay: 2 }, 0.2, 'cosine'),
      [1, 1, 1, 0.6, 0.2],
    ],
    ['warmupStableDecay, sqrt', warmupStableDecay({ warmup: 1, stable: 1, decay: 4 }, 0.2, 'sqrt'), [1, 1, 1, 0.6]],
    ['sqrtDecay', sqrtDecay(9, 0.1), [1, 0.7, 1 - 0.9 * Math.sqrt(2 / 9), 1 - 0.9 * Math.sqrt(3 / 9), 0.4]],
    ['cyclic', cyclic(2), [0, 0.5, 1, 0.5, 0, 0.5, 1]],
    ['cyclic, lower every time', cyclic(1, { down: 2, floor: 0.2, perCycle: 0.5 }), [0.2, 1, 0.6, 0.2, 0.6, 0.4, 0.2]],
    [
      'piecewise',
      piecewise([
        [0, 3],
        [2, 1],
        [3, 0],
      ]),
      [3, 3, 1, 0, 0],
    ],
    ['piecewise before its first point and of one', piecewise([[2, 0.5]], 'linear'), [0.5, 0.5, 0.5, 0.5]],
    [
      'piecewise, linear',
      piecewise(
        [
          [1, 1],
          [3, 0],
          [4, 2],
        ],
        'linear',
      ),
      [1, 1, 0.5, 0, 2, 2],
    ],
    ['bounded', bounded(exponential(0.5), { least: 0.2, most: 0.8 }), [0.8, 0.5, 0.25, 0.2, 0.2]],
    ['bounded below alone', bounded(exponential(2), { least: 3 }), [3, 3, 4, 8]],
    ['reduceOnPlateau before any report', reduceOnPlateau(), [1, 1]],
  ];
  it.each(cases)('%s', (_, schedule, expected) => {
    factors(schedule, expected.length).forEach((factor, i) => {
      expect(factor).toBeCloseTo(expected[i], 15);
    });
  });

  it.each(cases)('%s, read from a file', (_, schedule, expected) => {
    const read = parseSchedule('lr', JSON.parse(JSON.stringify(schedule)));
    expect(read).toEqual(schedule);
    expect(factors(read, expected.length)).toEqual(factors(schedule, expected.length));
  });

  it('cosine starts at 1, is halfway in the middle and ends at its floor', () => {
    const schedule = cosine(10, 0.1);
    expect(scheduleFactor(schedule, 1)).toBe(1);
    expect(scheduleFactor(schedule, 6)).toBeCloseTo(0.55, 15);
    expect(scheduleFactor(schedule, 11)).toBeCloseTo(0.1, 15);
    expect(scheduleFactor(schedule, 1000)).toBeCloseTo(0.1, 15);
  });

  it('cosineRestarts starts anew, each time for longer', () => {
    const schedule = cosineRestarts(4, 2);
    expect([1, 5, 13, 29].map((t) => scheduleFactor(schedule, t))).toEqual([1, 1, 1, 1]);
    expect(scheduleFactor(schedule, 9)).toBeCloseTo(0.5, 15);
    expect(scheduleFactor(cosineRestarts(4), 4_000_001)).toBe(1);
  });

  // Formulas of Keras and optax, which count steps from 0.
  const counts = Array.from({ length: 40 }, (_, count) => count);
  const published: [string, Schedule, (count: number) => number][] = [
    ['Keras InverseTimeDecay', inverseTime(0.5, { every: 7 }), (x) => 1 / (1 + (0.5 * x) / 7)],
    [
      'Keras InverseTimeDecay(staircase)',
      inverseTime(0.5, { every: 7, stairs: true }),
      (x) => 1 / (1 + 0.5 * Math.floor(x / 7)),
    ],
    ['Keras ExponentialDecay', exponential(0.5 ** (1 / 7)), (x) => 0.5 ** (x / 7)],
    ['Keras ExponentialDecay(staircase)', stepDecay(7, 0.5), (x) => 0.5 ** Math.floor(x / 7)],
    [
      'Keras PiecewiseConstantDecay([5, 20], [1, 0.5, 0.1])',
      piecewise([
        [0, 1],
        [6, 0.5],
        [21, 0.1],
      ]),
      (x) => (x <= 5 ? 1 : x <= 20 ? 0.5 : 0.1),
    ],
    [
      'Keras CosineDecayRestarts(t_mul 2, m_mul 0.8, alpha 0.1)',
      cosineRestarts(5, 2, 0.1, 0.8),
      (x) => {
        const restart = Math.floor(Math.log(1 - (x / 5) * (1 - 2)) / Math.log(2));
        const part = (x / 5 - (1 - 2 ** restart) / (1 - 2)) / 2 ** restart;
        return 0.9 * 0.5 * 0.8 ** restart * (1 + Math.cos(Math.PI * part)) + 0.1;
      },
    ],
    [
      'optax piecewise_constant_schedule(1, {10: 0.5, 30: 0.2})',
      piecewise([
        [0, 1],
        [10, 0.5],
        [30, 0.1],
      ]),
      (x) => (x >= 30 ? 0.1 : x >= 10 ? 0.5 : 1),
    ],
    [
      'optax piecewise_interpolate_schedule("cosine", 1, {10: 0.5, 30: 0.2})',
      piecewise(
        [
          [0, 1],
          [10, 0.5],
          [30, 0.1],
        ],
        'cosine',
      ),
      (x) => {
        const [from, to, part] = x < 10 ? [1, 0.5, x / 10] : x < 30 ? [0.5, 0.1, (x - 10) / 20] : [0.1, 0.1, 0];
        return ((to - from) / 2) * (1 - Math.cos(Math.PI * part)) + from;
      },
    ],
    [
      'optax exponential_decay(decay_rate 0.9, transition_begin 5, end_value 0.3)',
      bounded(sequence({ schedule: constantFactor(1, 1), steps: 5 }, { schedule: exponential(0.9), steps: 1 }), {
        least: 0.3,
      }),
      (x) => Math.max(0.3, x <= 5 ? 1 : 0.9 ** (x - 5)),
    ],
    ['torch ASGD, lr 0.1, lambd 0.2, alpha 0.75', inverseTime(0.02, { power: 0.75 }), (x) => (1 + 0.02 * x) ** -0.75],
  ];
  it.each(published)('as %s', (_, schedule, formula) => {
    for (const count of counts) expect(scheduleFactor(schedule, count + 1)).toBeCloseTo(formula(count), 14);
  });

  it('is any function, from a table of it', () => {
    const lambda = (step: number): number => 0.95 ** step * (step % 3);
    const schedule = piecewise(counts.map((count) => [count, lambda(count)] as const));
    for (const count of counts) expect(scheduleFactor(schedule, count + 1)).toBe(lambda(count));
  });

  it('warmupStableDecay names the ways to fall', () => {
    const how = 'square' as 'sqrt';
    expect(() => warmupStableDecay({ warmup: 1, stable: 1, decay: 1 }, 0, how)).toThrow(
      'warmupStableDecay: it falls by linear, cosine, sqrt, got "square"',
    );
  });

  it('oneCycle rises to 1 and falls to almost nothing, where it stays', () => {
    const schedule = oneCycle(10, { warm: 0.5, rise: 20, fall: 50 });
    expect(scheduleFactor(schedule, 1)).toBeCloseTo(1 / 20, 15);
    expect(scheduleFactor(schedule, 5)).toBeCloseTo(1, 15);
    expect(scheduleFactor(schedule, 10)).toBeCloseTo(1 / 1000, 15);
    expect(scheduleFactor(schedule, 500)).toBe(1 / 1000);
  });

  it('a plateau may stand inside others, whose factors it takes along', () => {
    const schedule = scaled(2, product(exponential(0.5), reduceOnPlateau({ patience: 5 })));
    expect(schedule.plateau()).toMatchObject({ kind: 'plateau', patience: 5 });
    expect(scheduleFactor(schedule, 2, 0.25)).toBe(2 * 0.5 * 0.25);
    expect(warmup(3, reduceOnPlateau({ patience: 2 })).plateau()).toMatchObject({ kind: 'plateau', patience: 2 });
    expect(cosine(3).plateau()).toBeUndefined();
  });
});

describe('a plateau', () => {
  const schedule = reduceOnPlateau({ factor: 0.5, patience: 1, cooldown: 2, threshold: 0.1, floor: 0.2 });
  const kind = schedule.plateau();
  if (kind === undefined) throw new Error('a plateau is expected');
  const after = (...reports: number[]): PlateauState | undefined =>
    reports.reduce<PlateauState | undefined>((state, metric) => kind.reported('metric', state, metric), undefined);

  it('takes the first report as the best, and what is better by the threshold', () => {
    expect(after(10)).toEqual({ best: 10, bad: 0, cooling: 0, factor: 1 });
    expect(after(10, 8.9)).toMatchObject({ best: 8.9, bad: 0 });
    expect(after(10, 9.1)).toMatchObject({ best: 10, bad: 1 });
  });

  it('falls after more bad reports than its patience, then rests', () => {
    expect(after(10, 10, 10)).toEqual({ best: 10, bad: 0, cooling: 2, factor: 0.5 });
    expect(after(10, 10, 10, 10, 10)).toEqual({ best: 10, bad: 0, cooling: 0, factor: 0.5 });
    expect(after(10, 10, 10, 10, 10, 10, 10)).toMatchObject({ factor: 0.25, cooling: 2 });
  });

  it('does not fall below its floor', () => {
    expect(after(...Array<number>(40).fill(1))).toMatchObject({ factor: 0.2 });
  });

  it('does not fall by no more than eps, and rests all the same', () => {
    const small = reduceOnPlateau({ factor: 0.5, patience: 0, eps: 0.2, cooldown: 1 });
    const kind = small.plateau();
    const reports = [10, 10, 10, 10, 10, 10, 10];
    const states = reports.map((_, i) =>
      reports
        .slice(0, i + 1)
        .reduce<PlateauState | undefined>((state, x) => kind?.reported('metric', state, x), undefined),
    );
    expect(states.map((state) => state?.factor)).toEqual([1, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25]);
    expect(states.at(-2)).toMatchObject({ cooling: 1, factor: 0.25 });
  });

  it('takes the mean of several reports for one', () => {
    const kind = reduceOnPlateau({ factor: 0.5, patience: 0, average: 3 }).plateau();
    const all = [3, 6, 0, 2, 2, 1.9, 5, 5, 5].reduce<PlateauState[]>((states, x) => {
      const state = kind?.reported('metric', states.at(-1), x);
      return state === undefined ? states : [...states, state];
    }, []);
    const before = { best: null, bad: 0, cooling: 0, factor: 1 };
    expect(all.slice(0, 3)).toEqual([
      { ...before, sum: 3, reports: 1 },
      { ...before, sum: 9, reports: 2 },
      { ...before, best: 3 },
    ]);
    expect(all[5].best).toBeCloseTo(5.9 / 3, 15);
    expect(all[8]).toMatchObject({ factor: 0.5, best: all[5].best });
    expect(all.map(({ factor }) => factor).slice(0, 8)).toEqual(Array(8).fill(1));
  });

  it('counts NaN as bad', () => {
    expect(after(10, NaN, NaN)).toMatchObject({ best: 10, factor: 0.5 });
  });
});

describe('a schedule is refused', () => {
  const wrong: [unknown, string][] = [
    [undefined, 'it must be a schedule, got undefined'],
    [{ kind: 'cosines' }, 'kind must be one of constant, step, milestones'],
    [{ kind: 'cosine', steps: 0, floor: 0 }, 'steps must be a whole number >= 1, got 0'],
    [{ kind: 'cosine', steps: 1 }, 'floor must be a number >= 0, got undefined'],
    [{ kind: 'linear', from: 1, to: -1, steps: 3 }, 'to must be a number >= 0, got -1'],
    [{ kind: 'exponential', factor: NaN }, 'factor must be a number >= 0, got NaN'],
    [{ kind: 'exponential', factor: 1, steps: 3 }, 'steps is unknown'],
    [{ kind: 'milestones', at: 3, factor: 1 }, 'at must be a list, got 3'],
    [{ kind: 'milestones', at: [1.5], factor: 1 }, 'at.0 must be a whole number >= 0, got 1.5'],
    [Object.assign({}, oneCycle(3), { shape: 'round' }), 'shape must be "cosine" or "linear", got "round"'],
    [Object.assign({}, oneCycle(3), { warm: 1.5 }), 'warm must be a number in [0, 1], got 1.5'],
    [Object.assign({}, oneCycle(3), { threePhases: 1 }), 'threePhases must be true or false, got 1'],
    [Object.assign({}, reduceOnPlateau(), { patience: -1 }), 'patience must be a whole number >= 0, got -1'],
    [Object.assign({}, reduceOnPlateau(), { average: 0 }), 'average must be a whole number >= 1, got 0'],
    [cosineRestarts(3, 1, 0, -1), 'shrink must be a number >= 0, got -1'],
    [inverseSqrt(3, 0), 'timescale must be a number > 0, got 0'],
    [inverseTime(1, { power: 0 }), 'power must be a number > 0, got 0'],
    [cyclic(0), 'up must be a whole number >= 1, got 0; down must be a whole number >= 1, got 0'],
    [piecewise([]), 'points must not be empty'],
    [
      piecewise([
        [1, 1],
        [1, 2],
      ]),
      'points.1.0 must be a step after 1, which comes before, got 1',
    ],
    [
      piecewise([[0.5, -1]]),
      'points.0.0 must be a whole number >= 0, got 0.5; points.0.1 must be a number >= 0, got -1',
    ],
    [{ kind: 'piecewise', points: [3], between: 'hold' }, 'points.0 must be a pair [step, factor]'],
    [{ kind: 'piecewise', points: [[0, 1]], between: 'line' }, 'between must be "hold" or "linear" or "cosine"'],
    [bounded(cosine(0), { most: -1 }), 'most must be a number >= 0, got -1; schedule.steps must be'],
    [scaled(1, { kind: 'x' } as unknown as Schedule), 'schedule.kind must be one of'],
    [product(cosine(0)), 'of.0.steps must be a whole number >= 1, got 0'],
    [{ kind: 'sequence', parts: [] }, 'parts must not be empty'],
    [sequence({ schedule: cosine(0), steps: 0 }), 'parts.0.schedule.steps must be'],
    [sequence({ schedule: cosine(1), steps: 0 }), 'parts.0.steps must be a whole number >= 1, got 0'],
  ];
  it.each(wrong)('%j', (schedule, message) => {
    expect(() => parseSchedule('lr', schedule)).toThrow(`the schedule of lr is wrong: ${message}`);
  });

  it('for every reason at once', () => {
    expect(() => parseSchedule('lr', { kind: 'linear', from: -1, to: -1, steps: 0 })).toThrow(/from .*; to .*; steps /);
  });

  it('where it is written by hand, naming what makes one', () => {
    const byHand = (schedule: object): Schedule => schedule as Schedule;
    expect(() => sgd({ lr: 1 }).withSchedules({ lr: byHand({ kind: 'step', every: 1, factor: 0.5 }) })).toThrow(
      'the schedule of lr is wrong: it must be a schedule, got the fields of "step"; call cosine(…) or its like, or parseSchedule()',
    );
    const inside = scaled(0.5, byHand(Object.assign({}, cosine(3))));
    expect(() => sgd({ lr: 1 }).withSchedules({ lr: inside })).toThrow(
      'schedule must be a schedule, got the fields of "cosine"',
    );
  });

  it('for a hyperparameter that is not there, or is no number', () => {
    expect(() => sgd({ lr: 1 }).withSchedules({ rate: exponential(0.5) })).toThrow(
      'sgd: cannot schedule "rate", the numeric hyperparameters are lr',
    );
  });
});

const sgd = defineOptimizer({
  name: 'sgd',
  hyperparameters: { lr: learningRate() },
  update: ({ param, grad, hyper }) => ({ param: param.sub(grad.mul(hyper.lr)) }),
});

const momentum = defineOptimizer({
  name: 'momentum',
  hyperparameters: { decay: decayRate(0.9) },
  slots: () => ['velocity'],
  update({ param, grad, hyper, slots }) {
    const velocity = slots.velocity.mul(hyper.decay).add(grad);
    return { param: param.sub(velocity), slots: { velocity } };
  },
});

async function run(optimizer: Optimizer, gradients: readonly number[]): Promise<number> {
  const training = Run.start(jsDevice(), optimizer, { x: tensor32([0]) });
  for (const gradient of gradients) await training.applyGradients({ x: tensor32([gradient]) });
  return (await training.weights()).x.data[0];
}

describe('a scheduled optimizer', () => {
  it('multiplies the hyperparameter at each step', async () => {
    const scheduled = sgd({ lr: 1 }).withSchedules({ lr: exponential(0.5) });
    expect(scheduled.hyperparameters.lr).toBe(1);
    expect(await run(scheduled, [1, 1, 1])).toBe(-1.75);
  });

  it('applies to groups on top of their own values', async () => {
    const scheduled = sgd({ lr: 1 }).withSchedules({ lr: exponential(0.5) });
    expect(await run(groups([{ match: 'x', hyperparameters: { lr: 2 } }], scheduled), [1, 1])).toBe(-3);
  });

  it('may be scheduled otherwise in a group, and change its value on the way', async () => {
    const scheduled = sgd({ lr: 1 }).withSchedules({ lr: exponential(0.5) });
    const grouped = groups([{ match: 'x', schedules: { lr: linear(1, 0, 2) } }], scheduled);
    expect(await run(grouped, [1, 1, 1])).toBe(-1.5);
    expect(await run(grouped.with({ lr: 4 }), [1, 1, 1])).toBe(-6);
  });

  it('goes on at its position after a resume', async () => {
    const optimizer = sgd({ lr: 1 }).withSchedules({ lr: warmup(2, cosine(5)) });
    const start = (with_: Optimizer, at: number) => Run.start(jsDevice(), with_, { x: tensor32([at]) });
    const [whole, first, second] = [start(optimizer, 0), start(optimizer, 0), start(sgd({ lr: 9 }), 5)];
    for (let t = 0; t < 8; t++) {
      if (t === 3) await second.load(throughJson(await first.state()));
      await whole.applyGradients({ x: tensor32([t]) });
      await (t < 3 ? first : second).applyGradients({ x: tensor32([t]) });
    }
    expect(await second.state()).toEqual(await whole.state());
  });

  it('remembers what a plateau has seen across a resume, of losses and of what is reported', async () => {
    const falling = { factor: 0.5, patience: 1 };
    const optimizers = [
      sgd({ lr: 1 }).withSchedules({ lr: reduceOnPlateau({ ...falling, by: 'loss' }) }),
      groups(
        [{ name: 'mine', match: 'x', schedules: { lr: reduceOnPlateau({ ...falling, by: 'metric' }) } }],
        sgd({ lr: 1 }),
      ),
    ];
    for (const optimizer of optimizers) {
      const start = () => Run.start(jsDevice(), optimizer, { x: tensor32([0]) });
      const [whole, first, second] = [start(), start(), start()];
      for (let t = 0; t < 8; t++) {
        if (t === 3) await second.load(throughJson(await first.state()));
        for (const each of [whole, t < 3 ? first : second]) {
          await each.applyGradients({ x: tensor32([1]) }, { loss: 3 });
          each.reportMetric(7);
        }
      }
      const state = await second.state();
      expect(state).toEqual(await whole.state());
      expect(Object.values(state.plateaus ?? {})).toEqual([expect.objectContaining({ factor: 0.125 })]);
      // Three reports to the first fall, then two each: 3 + 2/2 + 2/4 + 1/8.
      expect(state.parameters.x.value.data[0]).toBe(-(3 + 1 + 0.5 + 0.125));
    }
  });

  it('may take a learning rate to zero, but no value out of its range', async () => {
    expect(warmup(3, reduceOnPlateau()).plateau()).toEqual(reduceOnPlateau());
    const growing = momentum({ decay: 0.5 }).withSchedules({ decay: exponential(2) });
    await expect(run(growing, [1])).resolves.toBe(-1);
    await expect(run(growing, [1, 1])).rejects.toThrow(
      'momentum at step 2, by its schedule: decay must be >= 0 and < 1, got 1',
    );
  });

  it('keeps its structure where a factor reaches zero', () => {
    const hashOf = (optimizer: Optimizer) => makePlan(optimizer, [{ name: 'x', shape: [1] }]).parameters[0].hash;
    expect(hashOf(sgd({ lr: 1 }).withSchedules({ lr: linear(1, 0, 1) }))).toBe(hashOf(sgd({ lr: 1 })));
  });
});

/** A state as it comes back from a file of JSON. */
function throughJson(state: TrainingState): TrainingState {
  const text = JSON.stringify(state, (_, value: unknown) =>
    value instanceof Float32Array ? { float32: [...value] } : value,
  );
  return JSON.parse(text, (_, value: unknown) => {
    const record = value as { float32?: number[] } | null;
    return record !== null && typeof record === 'object' && record.float32 ? Float32Array.from(record.float32) : value;
  }) as TrainingState;
}

it('a factor of what is no schedule, or has a wrong field, is refused', () => {
  expect(() => scheduleFactor({ kind: 'cosine', steps: 3 } as Schedule, 1)).toThrow(
    'must be a schedule, got the fields',
  );
  // Its formula would not end.
  expect(() => scheduleFactor(cosineRestarts(null as never), 2)).toThrow('steps must be');
});
