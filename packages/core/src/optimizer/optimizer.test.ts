import { describe, expect, it } from 'vitest';
import { AdakitError } from '../errors.js';
import { accumulate, clipByGlobalNorm, lossScaling } from '../compose/gradients.js';
import { ema } from '../compose/weights.js';
import { makePlan } from '../plan/plan.js';
import { cosine, exponential } from '../schedule/factories.js';
import { scheduleFactor } from '../schedule/schedule.js';
import { restoreOptimizer } from './restore.js';
import { defineOptimizer } from './define.js';
import { coefficient, flag, learningRate, repeats } from './hyperparameters.js';
import { groups, type ParameterGroup } from './groups.js';
import type { OptimizerConfig } from './node.js';
import type { Optimizer } from './optimizer.js';

const demo = defineOptimizer({
  name: 'demo',
  hyperparameters: { lr: learningRate(0.1), weightDecay: coefficient(0), amsgrad: flag(false) },
  slots: ({ amsgrad }) => (amsgrad ? ['v'] : []),
  update({ param, grad, hyper, initial, uses, slots }) {
    const g = uses.weightDecay ? grad.add(param.mul(hyper.weightDecay)) : grad;
    const stepped = param.sub(g.mul(hyper.lr.div(initial.lr)));
    return uses.amsgrad ? { param: stepped, slots: { v: slots.v } } : { param: stepped };
  },
});
const other = defineOptimizer({
  name: 'other',
  hyperparameters: { lr: learningRate(1), rho: learningRate(2) },
  update: ({ param, grad, hyper }) => ({ param: param.sub(grad.mul(hyper.lr).mul(hyper.rho)) }),
});

/** What applies to a parameter. */
function of(optimizer: Optimizer, name: string, shape: readonly number[] = [2]) {
  const { pieces } = makePlan(optimizer, [{ name, shape }], { allowEmptyGroups: true }).parameters[0].group;
  return pieces[pieces.length - 1];
}
const hyper = (optimizer: Optimizer, name: string) => of(optimizer, name).hyperparameters;
const hashOf = (optimizer: Optimizer): string => makePlan(optimizer, [{ name: 'w', shape: [2] }]).parameters[0].hash;

describe('with', () => {
  it('changes hyperparameters in a new optimizer and keeps those at construction', () => {
    const optimizer = demo({ lr: 0.1 });
    const changed = optimizer.with({ lr: 0.01, weightDecay: 0.5 });
    expect(changed.hyperparameters).toEqual({ lr: 0.01, weightDecay: 0.5, amsgrad: false });
    expect(changed.initial).toEqual({ lr: 0.1, weightDecay: 0, amsgrad: false });
    expect(optimizer.hyperparameters.lr).toBe(0.1);
  });

  it('changes the rule only with the structure', () => {
    const optimizer = demo();
    expect(hashOf(optimizer.with({ lr: 0.01 }))).toBe(hashOf(optimizer));
    expect(hashOf(optimizer.with({ weightDecay: 0.1 }))).not.toBe(hashOf(optimizer));
    expect(hashOf(optimizer.with({ weightDecay: 0.1 }).with({ weightDecay: 0 }))).toBe(hashOf(optimizer));
  });

  it('allows a learning rate of 0 and refuses what is never allowed or unknown', () => {
    expect(demo().with({ lr: 0 }).hyperparameters.lr).toBe(0);
    expect(() => demo().with({ lr: -1 })).toThrow('demo: lr must be >= 0, got -1');
    expect(() => demo().with({ lrr: 1 })).toThrow('did you mean "lr"?');
  });

  it('changes what is around the rule, named with it', () => {
    const optimizer = ema(0.9, clipByGlobalNorm(1, demo()));
    const changed = optimizer.with({ 'ema.decay': 0.5, 'clipByGlobalNorm.maxNorm': 2, lr: 0.3 });
    const { pieces } = makePlan(changed, [{ name: 'w', shape: [2] }]).groups[0];
    expect(pieces.map(({ hyperparameters: { decay, maxNorm, lr } }) => [decay, maxNorm, lr])).toEqual([
      [0.5, undefined, undefined],
      [undefined, 2, undefined],
      [undefined, undefined, 0.3],
    ]);
    expect(pieces[0].initial.decay).toBe(0.9);
  });

  it('refuses what is not around it, and what that does not know', () => {
    const optimizer = ema(0.9, demo());
    expect(() => optimizer.with({ 'emma.decay': 0.5 })).toThrow(
      'unknown hyperparameter "emma.decay": nothing named "emma" is around this optimizer, did you mean "ema"?',
    );
    expect(() => optimizer.with({ 'ema.decya': 0.5 })).toThrow('did you mean "decay"?');
    expect(() => optimizer.with({ 'ema.decay': 1 })).toThrow('ema: decay must be >= 0 and < 1, got 1');
  });
});

describe('withSchedules', () => {
  const build = (): Optimizer =>
    ema(0.9, groups([{ match: 'a', hyperparameters: { weightDecay: 0.5 } }], clipByGlobalNorm(1, demo())));
  const schedulesOf = (optimizer: Optimizer): string[][] => {
    const { pieces } = makePlan(optimizer, [{ name: 'w', shape: [2] }], { allowEmptyGroups: true }).groups[0];
    return pieces.map(({ schedules }) => Object.entries(schedules).map(([name, { kind }]) => `${name} ${kind}`));
  };

  it('reaches what is around the rule, named with it', () => {
    const optimizer = build().withSchedules({ 'clipByGlobalNorm.maxNorm': cosine(3), lr: exponential(0.5) });
    expect(schedulesOf(optimizer)).toEqual([[], ['maxNorm cosine'], ['lr exponential']]);
    expect(schedulesOf(optimizer.with({ 'clipByGlobalNorm.maxNorm': 2, lr: 1 }))).toEqual(schedulesOf(optimizer));
  });

  it('takes the place of what there was, piece by piece', () => {
    const first = build().withSchedules({ lr: cosine(3), 'ema.decay': cosine(3) });
    expect(schedulesOf(first.withSchedules({ 'ema.decay': exponential(1) }))).toEqual([
      ['decay exponential'],
      [],
      ['lr cosine'],
    ]);
    expect(schedulesOf(first.withSchedules({ weightDecay: cosine(1) }))).toEqual([
      ['decay cosine'],
      [],
      ['weightDecay cosine'],
    ]);
    expect(schedulesOf(first.withSchedules({}))).toEqual([['decay cosine'], [], []]);
  });

  it('goes through data', () => {
    const optimizer = build().withSchedules({ 'clipByGlobalNorm.maxNorm': cosine(3) });
    const config = JSON.parse(JSON.stringify(optimizer.toConfig())) as OptimizerConfig;
    expect(schedulesOf(restoreOptimizer(build(), config))).toEqual([[], ['maxNorm cosine'], []]);
  });

  it('refuses what is not around the rule, what has no such number, and the scale of a loss', () => {
    expect(() => build().withSchedules({ 'emma.decay': cosine(3) })).toThrow('did you mean "ema"?');
    expect(() => build().withSchedules({ 'ema.warmup': cosine(3) })).toThrow(
      'ema: cannot schedule "warmup", the numeric hyperparameters are decay, start, every',
    );
    const shaped = defineOptimizer({
      name: 'shaped',
      hyperparameters: { lr: learningRate(1), times: repeats(2) },
      update: ({ param }) => ({ param }),
    });
    // It is part of the program, which no schedule changes.
    expect(() => shaped().withSchedules({ times: cosine(3) })).toThrow('shaped: cannot schedule "times"');
    expect(() => lossScaling(demo()).withSchedules({ 'lossScaling.interval': cosine(3) })).toThrow(
      'lossScaling follows what it sees of gradients, and no schedule',
    );
  });
});

describe('an optimizer', () => {
  it('cannot be changed', () => {
    const options = { lr: 0.1 };
    const optimizer = demo(options);
    options.lr = 5;
    expect(optimizer.hyperparameters.lr).toBe(0.1);
    expect(() => Object.assign(optimizer.hyperparameters, { lr: 5 })).toThrow(TypeError);
    expect(() => Object.assign(optimizer.initial, { lr: 5 })).toThrow(TypeError);
  });

  it('knows its main rule and says what it is made of', () => {
    const optimizer = ema(0.9, groups([{ match: 'a', optimizer: other() }], clipByGlobalNorm(1, demo({ lr: 0.3 }))));
    expect(optimizer.name).toBe('demo');
    expect(optimizer.hyperparameters.lr).toBe(0.3);
    expect(String(optimizer)).toBe('ema(groups(other, clipByGlobalNorm(demo)))');
  });
});

it.each([
  ['hyperparameters', 'optimizer "odd": has no update'],
  ['updat', 'unknown key "updat", did you mean "update"? (known: name, hyperparameters, slots, update)'],
  ['measure', 'unknown key "measure" (known: name, hyperparameters, slots, update); definePhasedOptimizer() has more'],
])('a definition with %s for update is refused', (key, message) => {
  const source = { name: 'odd', hyperparameters: {}, [key]: () => ({}) };
  expect(() => defineOptimizer(source as unknown as Parameters<typeof defineOptimizer>[0])).toThrow(message);
});

it.each<[string, () => unknown, string]>([
  ['one group for a list', () => groups({ match: 'w' } as never, demo()), 'groups() takes a list such as'],
  ['a word for a group', () => groups(['w'] as never, demo()), 'group 1 is "w"; a group has name, match'],
  ['a group without a match', () => groups([{}] as never, demo()), 'the match of the group "group1" must be a name'],
  [
    'a number for a match',
    () => groups([{ match: 1 }] as never, demo()),
    'or conditions (name, rank, shape, role), got 1',
  ],
  ['a condition that there is not', () => groups([{ match: { dims: 2 } }] as never, demo()), 'got the condition dims'],
  ['no optimizer for a group', () => groups([{ match: 'w', optimizer: null }] as never, demo()), 'needs an optimizer'],
])('%s is refused', (_, make, message) => {
  expect(make).toThrow(AdakitError);
  expect(make).toThrow(message);
});

describe('groups', () => {
  const grouped = (...list: ParameterGroup[]): Optimizer => groups(list, demo({ lr: 0.1 }));

  it('apply to the parameters they choose; the rest has the optimizer itself', () => {
    const optimizer = grouped(
      { match: 'fc.bias', hyperparameters: { lr: 0.2 } },
      { match: /^conv/, hyperparameters: { lr: 0.3 } },
      { match: { rank: 3 }, hyperparameters: { lr: 0.4 } },
      { match: { role: 'norm' }, hyperparameters: { lr: 0.5 } },
      { match: ({ shape }) => shape[0] === 7, hyperparameters: { lr: 0.6 } },
    );
    const { parameters } = makePlan(optimizer, [
      { name: 'fc.bias', shape: [2] },
      { name: 'fc.bias2', shape: [2] },
      { name: 'conv.weight', shape: [2, 2] },
      { name: 'cube', shape: [2, 2, 2] },
      { name: 'scale', shape: [2], role: 'norm' },
      { name: 'seven', shape: [7] },
    ]);
    expect(parameters.map(({ group: { pieces } }) => pieces[0].hyperparameters.lr)).toEqual([
      0.2, 0.1, 0.3, 0.4, 0.5, 0.6,
    ]);
    expect(parameters.map(({ group: { path } }) => path)).toEqual([
      'group1/',
      '',
      'group2/',
      'group3/',
      'group4/',
      'group5/',
    ]);
  });

  it('that choose the same parameter add up, the later winning', () => {
    const optimizer = grouped(
      { match: /w/, hyperparameters: { lr: 0.2, weightDecay: 0.5 } },
      { match: 'w1', hyperparameters: { lr: 0.3 } },
      { match: 'w2', hyperparameters: { weightDecay: 0 } },
    );
    expect(hyper(optimizer, 'w1')).toMatchObject({ lr: 0.3, weightDecay: 0.5 });
    expect(hyper(optimizer, 'w2')).toMatchObject({ lr: 0.2, weightDecay: 0 });
    expect(hyper(optimizer, 'b')).toMatchObject({ lr: 0.1, weightDecay: 0 });
  });

  it('may have another rule, which later groups adjust', () => {
    const optimizer = grouped(
      { match: /w/, optimizer: other({ rho: 5 }) },
      { match: 'w1', hyperparameters: { lr: 0.3 } },
    );
    expect(of(optimizer, 'w1')).toMatchObject({ component: { name: 'other' }, hyperparameters: { lr: 0.3, rho: 5 } });
    expect(of(optimizer, 'w2')).toMatchObject({ component: { name: 'other' }, hyperparameters: { lr: 1, rho: 5 } });
    expect(of(optimizer, 'b').component.name).toBe('demo');
  });

  it('may have other schedules than the rest', () => {
    const optimizer = groups(
      [
        { match: 'a', schedules: { lr: exponential(0.5) } },
        { match: 'b', schedules: { weightDecay: cosine(5) } },
      ],
      demo().withSchedules({ lr: cosine(10) }),
    );
    expect(of(optimizer, 'a').schedules).toEqual({ lr: exponential(0.5) });
    expect(of(optimizer, 'b').schedules).toEqual({ lr: cosine(10), weightDecay: cosine(5) });
    expect(of(optimizer, 'c').schedules).toEqual({ lr: cosine(10) });
  });

  it('may have other slots than the rest', () => {
    const optimizer = grouped({ match: 'a', hyperparameters: { amsgrad: true, weightDecay: 0.1 } });
    const { parameters } = makePlan(optimizer, [
      { name: 'a', shape: [2] },
      { name: 'b', shape: [2] },
    ]);
    expect(parameters.map(({ slots }) => slots.map(({ name }) => name))).toEqual([['v'], []]);
    expect(parameters[0].hash).not.toBe(parameters[1].hash);
  });

  it('count their own values as those at construction', () => {
    const optimizer = grouped({ match: 'a', hyperparameters: { lr: 0.2 } }).with({ lr: 0.01 });
    expect(of(optimizer, 'a').initial.lr).toBe(0.2);
    expect(of(optimizer, 'b').initial.lr).toBe(0.1);
  });

  it('may rest at a learning rate of zero, which is none to start with', () => {
    const resting = grouped({ match: 'a', hyperparameters: { lr: 0, weightDecay: 0.5 } });
    expect(of(resting, 'a')).toMatchObject({
      hyperparameters: { lr: 0, weightDecay: 0.5 },
      initial: { lr: 0.1, weightDecay: 0.5 },
    });
  });

  it('are checked when they are made', () => {
    expect(() => grouped({ match: 'a', hyperparameters: { lr: -1 } })).toThrow('demo: lr must be >= 0, got -1');
    expect(() => grouped({ match: 'a', hyperparameters: { decay: 0 } })).toThrow('unknown hyperparameter "decay"');
    expect(() => grouped({ match: 'a', schedules: { rate: cosine(3) } })).toThrow('cannot schedule "rate"');
    expect(() => grouped({ match: 'a', optimizer: other as unknown as Optimizer })).toThrow('other()');
    expect(() => groups([], demo as unknown as Optimizer)).toThrow('demo()');
    const misplaced = { match: 'a', freezeRows: [0] } as ParameterGroup;
    expect(() => groups([misplaced], demo({ lr: 0.1 }))).toThrow('"freezeRows", which means nothing');
    expect(() => grouped({ name: 'x', match: 'a' }, { name: 'x', match: 'b' })).toThrow('two groups have the name "x"');
    expect(() => grouped({ name: 'all', match: 'a' })).toThrow('or it is "all"');
  });

  describe('follow a change', () => {
    const optimizer = groups(
      [
        { name: 'own', match: 'a', hyperparameters: { lr: 0.2 } },
        { name: 'plain', match: 'b', hyperparameters: { weightDecay: 0.5 } },
        { name: 'foreign', match: 'c', optimizer: other() },
      ],
      demo({ lr: 0.1 }),
    );
    const rates = (changed: Optimizer): unknown[] => ['a', 'b', 'c', 'd'].map((name) => hyper(changed, name).lr);

    it('of the optimizer where they have not set the hyperparameter themselves', () => {
      expect(rates(optimizer.with({ lr: 0.01 }))).toEqual([0.2, 0.01, 1, 0.01]);
    });

    it('of one group alone', () => {
      expect(rates(optimizer.with({ lr: 0.01 }, { group: 'own' }))).toEqual([0.01, 0.1, 1, 0.1]);
      expect(rates(optimizer.with({ lr: 0.01 }, { group: 'plain' }))).toEqual([0.2, 0.01, 1, 0.1]);
      expect(rates(optimizer.with({ lr: 0.01 }, { group: 'foreign' }))).toEqual([0.2, 0.1, 0.01, 0.1]);
    });

    it('of all of them, whatever they have set', () => {
      expect(rates(optimizer.with({ lr: 0.01 }, { group: 'all' }))).toEqual([0.01, 0.01, 0.01, 0.01]);
      // Only demo knows it.
      expect(hyper(optimizer.with({ weightDecay: 0.3 }, { group: 'all' }), 'c')).toEqual({ lr: 1, rho: 2 });
    });

    it('but keep their values at construction', () => {
      const changed = optimizer.with({ lr: 0, weightDecay: 0.25 }, { group: 'own' });
      for (const each of [changed, restoreOptimizer(optimizer, changed.toConfig())]) {
        expect(of(each, 'a')).toMatchObject({
          hyperparameters: { lr: 0, weightDecay: 0.25 },
          initial: { lr: 0.2, weightDecay: 0 },
        });
      }
    });

    it('and refuse what is not allowed, or a group that does not exist', () => {
      expect(() => optimizer.with({ lr: -1 }, { group: 'own' })).toThrow('demo: lr must be >= 0, got -1');
      expect(() => optimizer.with({ gamma: 1 }, { group: 'foreign' })).toThrow('other: unknown hyperparameter "gamma"');
      expect(() => optimizer.with({ lr: 1 }, { group: 'theirs' })).toThrow(
        'there is no group "theirs"; the groups are own, plain, foreign',
      );
      expect(() => demo().with({ lr: 1 }, { group: 'own' })).toThrow('this optimizer has no groups');
    });
  });
});

describe('an optimizer as data', () => {
  const build = (lr: number): Optimizer =>
    ema(
      0.9,
      groups(
        [
          { name: 'first', match: 'a', hyperparameters: { amsgrad: true } },
          { match: /^conv\//gi, optimizer: other({ lr: 2 }) },
          { match: ({ shape }) => shape.length === 0, schedules: { lr: cosine(7) } },
        ],
        clipByGlobalNorm(1, demo({ lr })),
      ),
    ).withSchedules({ lr: cosine(100) });
  const optimizer = build(0.5).with({ lr: 0.25, 'ema.decay': 0.5 });
  const parameters = [
    { name: 'a', shape: [2] },
    { name: 'CONV/w', shape: [2] },
    { name: 't', shape: [] },
  ];
  const config = optimizer.toConfig(parameters);

  it('is names, numbers and the sources of regular expressions, as a tree', () => {
    const demoConfig = {
      kind: 'rule',
      name: 'demo',
      hyperparameters: { lr: 0.25, weightDecay: 0, amsgrad: false },
      initial: { lr: 0.5, weightDecay: 0, amsgrad: false },
      schedules: { lr: { kind: 'cosine', steps: 100, floor: 0 } },
    };
    expect(config).toMatchObject({
      kind: 'wrapper',
      name: 'ema',
      hyperparameters: { decay: 0.5 },
      initial: { decay: 0.9 },
      inner: {
        kind: 'groups',
        groups: [
          { name: 'first', match: 'a', hyperparameters: { amsgrad: true } },
          { name: 'group2', match: { pattern: '^conv\\/', flags: 'gi' }, optimizer: { kind: 'rule', name: 'other' } },
          { name: 'group3', match: { names: ['t'] }, schedules: { lr: { kind: 'cosine' } } },
        ],
        rest: { kind: 'wrapper', name: 'clipByGlobalNorm', inner: demoConfig },
      },
    });
  });

  it('comes back from JSON as the same optimizer', () => {
    const restored = restoreOptimizer(build(9), JSON.parse(JSON.stringify(config)) as OptimizerConfig);
    expect(restored.toConfig(parameters)).toEqual(config);
    for (const { name, shape } of parameters) {
      expect(of(restored, name, shape)).toMatchObject({
        hyperparameters: of(optimizer, name, shape).hyperparameters,
        initial: of(optimizer, name, shape).initial,
        schedules: of(optimizer, name, shape).schedules,
      });
    }
    expect(scheduleFactor(restored.schedules.lr, 50)).toBe(scheduleFactor(cosine(100), 50));
  });

  const wrong: [string, () => unknown, string][] = [
    [
      'of another rule',
      () => restoreOptimizer(other(), demo().toConfig()),
      'the state belongs to the optimizer "demo", this one is "other"; make the run with the same pieces to resume it, or adapt the state with adaptState()',
    ],
    [
      'of another wrapper',
      () => restoreOptimizer(demo(), ema(0.9, demo()).toConfig()),
      'the state belongs to the optimizer "ema(demo)", this one is "demo"',
    ],
    [
      'in another order',
      () => restoreOptimizer(ema(0.9, accumulate(2, demo())), accumulate(2, ema(0.9, demo())).toConfig()),
      'belongs to the optimizer "accumulate(ema(demo))", this one is "ema(accumulate(demo))"',
    ],
    [
      'with a group’s rule that is not there',
      () => restoreOptimizer(demo(), groups([{ match: 'a', optimizer: other() }], demo()).toConfig()),
      'the state uses the rule "other", which this run does not have; make the run with it, in its group',
    ],
    [
      'with a value out of range',
      () => restoreOptimizer(demo(), { ...demo().toConfig(), hyperparameters: { lr: -1 } } as OptimizerConfig),
      'demo: lr must be >= 0, got -1',
    ],
    [
      'with a value at construction that no optimizer can be made with',
      () => restoreOptimizer(demo(), { ...demo().toConfig(), initial: { lr: 0 } } as OptimizerConfig),
      'demo: lr must be > 0, got 0',
    ],
    [
      'with an unknown hyperparameter',
      () => restoreOptimizer(demo(), { ...demo().toConfig(), hyperparameters: { lr: 1, gamma: 1 } } as OptimizerConfig),
      'demo: unknown hyperparameter "gamma" (known: lr, weightDecay, amsgrad)',
    ],
    [
      'with a malformed schedule',
      () =>
        restoreOptimizer(demo(), {
          ...demo().toConfig(),
          schedules: { lr: { kind: 'cosine', steps: 0, floor: 0 } },
        } as OptimizerConfig),
      'the schedule of lr is wrong: steps must be a whole number >= 1, got 0',
    ],
  ];
  it.each(wrong)('%s is refused', (_, restore, message) => {
    expect(restore).toThrow(message);
  });

  it('brings its own groups, whatever the run was made with', () => {
    const saved = groups([{ match: 'a', hyperparameters: { lr: 0.2 } }], demo());
    const restored = restoreOptimizer(groups([{ match: 'b', hyperparameters: { lr: 7 } }], demo()), saved.toConfig());
    expect(['a', 'b'].map((name) => hyper(restored, name).lr)).toEqual([0.2, 0.1]);
  });
});
