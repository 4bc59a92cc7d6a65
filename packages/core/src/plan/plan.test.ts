import { describe, expect, it } from 'vitest';
import {
  accumulate,
  centralization,
  clipByGlobalNorm,
  clipByValue,
  lossScaling,
  maximize,
  sam,
} from '../compose/gradients.js';
import { decoupledDecay, ema, lookahead, maxNorm } from '../compose/weights.js';
import { sum, type Tensor } from '../expression/expression.js';
import { defineOptimizer } from '../optimizer/define.js';
import { definePhasedOptimizer, defineWrapper } from '../compose/define-phased.js';
import { learningRate } from '../optimizer/hyperparameters.js';
import type { ParameterSpec } from '../optimizer/match.js';
import { groups } from '../optimizer/groups.js';
import type { Optimizer } from '../optimizer/optimizer.js';
import { makePlan, type Plan, type Stage } from './plan.js';

const sgd = defineOptimizer({
  name: 'sgd',
  hyperparameters: { lr: learningRate(0.1) },
  update: ({ param, grad, hyper }) => ({ param: param.sub(grad.mul(hyper.lr)) }),
});
const momentum = defineOptimizer({
  name: 'momentum',
  hyperparameters: { lr: learningRate(0.1) },
  slots: () => ['m'],
  update({ param, grad, slots, hyper }) {
    const m = slots.m.add(grad);
    return { param: param.sub(m.mul(hyper.lr)), slots: { m } };
  },
});
/** Keeps a number of all its parameters together. */
const counting = definePhasedOptimizer({
  name: 'counting',
  hyperparameters: { lr: learningRate(0.1) },
  globals: () => [{ name: 'total', start: 'initial.lr' }],
  measure: ({ grad }) => ({ sums: { total: sum(grad) } }),
  total: ({ sums, globals }) => ({ total: globals.total.add(sums.total) }),
  update: ({ param, globals }) => ({ param: param.sub(globals.total) }),
});

/** Measures all parameters together, and not their gradients. */
const sizeOf = {
  hyperparameters: {},
  globals: () => ['size'],
  measure: ({ param }: { readonly param: Tensor }) => ({ sums: { size: sum(param.square()) } }),
  total: ({ sums }: { readonly sums: Readonly<Record<string, Tensor>> }) => ({ size: sums.size }),
} as const;
const measuring = (name: string) => defineWrapper({ name, ...sizeOf });

const parameters: readonly ParameterSpec[] = [
  { name: 'a.weight', shape: [4, 3] },
  { name: 'a.bias', shape: [4] },
  { name: 'b.weight', shape: [2, 4] },
];
const plan = (optimizer: Optimizer, specs = parameters): Plan => makePlan(optimizer, specs);
/** What a plan does, one line a stage: programs and how many parameters each runs on. */
const described = (stages: readonly Stage[]): string[] =>
  stages.map((stage) =>
    stage.kind === 'total'
      ? `total ${stage.program.name}`
      : stage.calls.map(({ program, parameters }) => `${program.name} ×${parameters.length}`).join(', '),
  );
const outputsOf = (stages: readonly Stage[]): string[][] =>
  stages.map((stage) => Object.keys((stage.kind === 'total' ? stage : stage.calls[0]).program.outputs));

describe('a plan', () => {
  it('of a rule is one program for all parameters', () => {
    const { stages, batchStages, perturbStages, groups, globals } = plan(sgd());
    expect(described(stages)).toEqual(['sgd.update ×3']);
    expect([batchStages, perturbStages, globals]).toEqual([[], [], []]);
    expect(groups).toHaveLength(1);
  });

  it('of nothing does nothing', () => {
    expect(plan(ema(0.9, clipByGlobalNorm(1, sgd())), []).stages).toEqual([]);
  });

  it('fuses everything around a rule into its program: one pass over memory', () => {
    const { stages } = plan(ema(0.9, maxNorm(1, clipByValue(1, momentum()))));
    const both = 'clipByValue.gradient + momentum.update + normRange.after + ema.after';
    // Vectors are measured otherwise than matrices.
    expect(described(stages)).toEqual([`${both} ×2, ${both} ×1`]);
    expect(outputsOf(stages)).toEqual([['param', 'slot.m', 'slot.ema.average']]);
  });

  it('stops where a number of all parameters is needed, and keeps what it needs later', () => {
    const { stages, globals } = plan(centralization(clipByGlobalNorm(1, sgd())), parameters.slice(0, 1));
    expect(described(stages)).toEqual([
      'centralize.gradient + clipByGlobalNorm.measure ×1',
      'total clipByGlobalNorm.total',
      'clipByGlobalNorm.gradient + sgd.update ×1',
    ]);
    expect(outputsOf(stages)).toEqual([
      ['grad', 'sum.clipByGlobalNorm.squares'],
      ['global.clipByGlobalNorm.norm'],
      ['param'],
    ]);
    expect(stages[0]).toMatchObject({ sums: ['sum.clipByGlobalNorm.squares'], largest: [] });
    expect(globals).toEqual([{ name: 'clipByGlobalNorm.norm', start: 0 }]);
  });

  it('does not write a gradient that nothing reads again', () => {
    expect(outputsOf(plan(clipByValue(1, sgd())).stages)).toEqual([['param']]);
    expect(outputsOf(plan(clipByGlobalNorm(1, sgd())).stages)[0]).toEqual(['sum.clipByGlobalNorm.squares']);
  });

  it('hands a changed gradient past a piece that does not look at it', () => {
    const [outer, inner] = [measuring('outer'), measuring('inner')];
    const { stages } = plan(clipByValue(1, outer({}, inner({}, sgd()))));
    expect(described(stages)).toEqual([
      'clipByValue.gradient + outer.measure ×3',
      'total outer.total',
      'inner.measure ×3',
      'total inner.total',
      'sgd.update ×3',
    ]);
    expect(outputsOf(stages)[0]).toContain('grad');
    expect(outputsOf(stages)[2]).toEqual(['sum.inner.size']);
  });

  it('does not write a gradient in whose place another is put', () => {
    const decay = defineWrapper({ ...sizeOf, name: 'decay', gradient: ({ param }) => ({ grad: param }) });
    const { stages } = plan(clipByValue(1, decay({}, measuring('inner')({}, sgd()))));
    expect(outputsOf(stages).slice(0, 3)).toEqual([
      ['sum.decay.size'],
      ['global.decay.size'],
      ['grad', 'sum.inner.size'],
    ]);
  });

  it('gives the largest element its own kind of total', () => {
    const { stages } = plan(clipByGlobalNorm(1, sgd(), { infinity: true }));
    expect(stages[0]).toMatchObject({ sums: [], largest: ['largest.clipByGlobalNorm.norm'] });
  });

  it('shares programs among parameters of one form', () => {
    const { stages } = plan(groups([{ match: /bias/, hyperparameters: { lr: 1 } }], sgd()));
    const [stage] = stages;
    if (stage.kind === 'total') throw new Error('parameters are expected');
    expect(stage.calls.map(({ group, parameters }) => [group.path, parameters.map(({ name }) => name)])).toEqual([
      ['', ['a.weight', 'b.weight']],
      ['group1/', ['a.bias']],
    ]);
    expect(stage.calls[0].program.hash).toBe(stage.calls[1].program.hash);
  });

  it('names numbers of all parameters by the group that they were written in, whatever the order of the parameters', () => {
    const names = (list: typeof parameters): string[] => {
      const clipped = { name: 'small', match: /bias/, optimizer: clipByGlobalNorm(2, sgd()) };
      const rest = { name: 'slow', match: /^b/, hyperparameters: { lr: 0.5 } };
      const { globals } = plan(clipByGlobalNorm(3, groups([rest, clipped], clipByGlobalNorm(1, momentum()))), list);
      return globals.map(({ name }) => name).sort();
    };
    const expected = ['clipByGlobalNorm.norm', 'clipByGlobalNorm2.norm', 'small/clipByGlobalNorm2.norm'];
    expect(names(parameters)).toEqual(expected);
    expect(names(parameters.toReversed())).toEqual(expected);
  });

  it('tells groups beside each other from groups in each other', () => {
    const deep = groups([{ name: 'b', match: 'a.bias', optimizer: momentum() }], sgd());
    const list = [
      { name: 'a', match: /^a/, optimizer: deep },
      { name: 'b', match: 'a.weight', hyperparameters: { lr: 2 } },
    ];
    const { parameters: planned } = plan(groups(list, sgd()));
    expect(planned.map(({ name, group }) => [name, group.path, group.pieces[0].component.name])).toEqual([
      ['a.weight', 'a+b/', 'sgd'],
      ['a.bias', 'a/b/', 'momentum'],
      ['b.weight', '', 'sgd'],
    ]);
  });

  it('tells groups of the same name at different depths apart', () => {
    const inner = groups([{ name: 'x', match: /bias/, optimizer: counting({ lr: 1 }) }], counting({ lr: 2 }));
    const outer = groups([{ name: 'x', match: /^a.weight/, optimizer: counting({ lr: 3 }) }], inner);
    const { parameters: planned, globals } = plan(outer);
    const rules = planned.map(({ name, group }) => [name, group.pieces[0].hyperparameters.lr]);
    expect(rules).toEqual([
      ['a.weight', 3],
      ['a.bias', 1],
      ['b.weight', 2],
    ]);
    expect(globals.map(({ name, start }) => [name, start])).toEqual([
      ['x/total', 3],
      ['*/x/total', 1],
      ['total', 2],
    ]);
  });

  it('keeps an optimizer that two groups have, and the rest, apart in each, as if it had been written three times', () => {
    const clipped = clipByGlobalNorm(1, sgd());
    const list = [
      { name: 'a', match: 'a.bias', optimizer: clipped },
      { name: 'b', match: 'b.weight', optimizer: ema(0.9, clipped) },
    ];
    const { globals, stages } = plan(groups(list, clipped));
    expect(globals.map(({ name }) => name)).toEqual([
      'clipByGlobalNorm.norm',
      'a/clipByGlobalNorm.norm',
      'b/clipByGlobalNorm.norm',
    ]);
    expect(stages.filter(({ kind }) => kind === 'total')).toHaveLength(3);
  });

  it('takes an update and what comes after it as one, whatever other groups have to measure before', () => {
    const clipped = { match: /bias/, optimizer: clipByGlobalNorm(1, sgd()) };
    const { stages } = plan(decoupledDecay(0.1, groups([clipped], clipByGlobalNorm(2, sgd()))));
    expect(described(stages)).toEqual([
      'clipByGlobalNorm.measure ×2',
      'total clipByGlobalNorm.total',
      'clipByGlobalNorm.measure ×1',
      'total clipByGlobalNorm.total',
      'clipByGlobalNorm.gradient + sgd.update + decoupledDecay.after ×2, ' +
        'clipByGlobalNorm.gradient + sgd.update + decoupledDecay.after ×1',
    ]);
  });

  it('runs the rule of each group, and what is around all of them over all parameters', () => {
    const { stages } = plan(clipByGlobalNorm(1, groups([{ match: /bias/, optimizer: sgd() }], momentum())));
    expect(described(stages)).toEqual([
      'clipByGlobalNorm.measure ×2, clipByGlobalNorm.measure ×1',
      'total clipByGlobalNorm.total',
      'clipByGlobalNorm.gradient + momentum.update ×2, clipByGlobalNorm.gradient + sgd.update ×1',
    ]);
  });

  it('measures the parameters of a group alone where the wrapper is in the group', () => {
    const { stages } = plan(groups([{ match: /weight/, optimizer: clipByGlobalNorm(1, sgd()) }], sgd()));
    expect(described(stages)).toEqual([
      'clipByGlobalNorm.measure ×2',
      'total clipByGlobalNorm.total',
      'clipByGlobalNorm.gradient + sgd.update ×2, sgd.update ×1',
    ]);
  });

  it('keeps the numbers of two rules apart, and those of two wrappers of one kind', () => {
    const apart = plan(groups([{ match: /bias/, optimizer: counting({ lr: 3 }) }], counting({ lr: 2 })));
    expect(apart.globals.map(({ start }) => start).sort()).toEqual([2, 3]);
    expect(new Set(apart.globals.map(({ name }) => name)).size).toBe(2);
    expect(plan(counting()).globals).toEqual([{ name: 'total', start: 0.1 }]);
    const twice = plan(clipByGlobalNorm(1, clipByGlobalNorm(2, sgd())));
    expect(twice.globals.map(({ name }) => name)).toEqual(['clipByGlobalNorm.norm', 'clipByGlobalNorm2.norm']);
    const inGroups = plan(
      groups([{ match: /bias/, optimizer: clipByGlobalNorm(1, sgd()) }], clipByGlobalNorm(2, sgd())),
    );
    expect(new Set(inGroups.globals.map(({ name }) => name)).size).toBe(2);
    for (const { stages, globals } of [apart, twice, inGroups]) {
      const written = stages.flatMap((stage) => (stage.kind === 'total' ? Object.keys(stage.program.outputs) : []));
      expect(written.sort()).toEqual(globals.map(({ name }) => `global.${name}`).sort());
    }
  });

  it('keeps the slots of two wrappers of one kind apart', () => {
    const { parameters: planned, phases } = plan(ema(0.9, ema(0.5, momentum())));
    expect(planned[0].slots.map(({ name }) => name)).toEqual(['ema.average', 'ema2.average', 'm']);
    // The outermost is what is meant.
    expect(phases?.view(planned[0], 'averaged')?.instructions).toEqual([
      expect.objectContaining({ name: 'slot.ema.average' }),
    ]);
  });

  it('collects batches before everything else', () => {
    const { batchStages, stages, batches } = plan(accumulate(4, clipByGlobalNorm(1, sgd())));
    expect(described(batchStages)).toEqual(['accumulate.collect ×3']);
    expect(outputsOf(batchStages)).toEqual([['slot.accumulate.gradientSum']]);
    expect(described(stages)[0]).toBe('accumulate.gradient + clipByGlobalNorm.measure ×3');
    expect(batches?.piece.hyperparameters.every).toBe(4);
  });

  it('perturbs from the gradient as it comes', () => {
    const { perturbStages, stages } = plan(clipByValue(1, sam(0.1, sgd())));
    expect(described(perturbStages)).toEqual(['sam.measure ×3', 'total sam.total', 'sam.perturb ×3']);
    expect(outputsOf(perturbStages)).toEqual([['sum.sam.squares'], ['global.sam.norm'], ['param']]);
    expect(described(stages)).toEqual(['clipByValue.gradient + sgd.update ×3']);
  });

  it('knows who scales the loss', () => {
    expect(plan(lossScaling(sgd(), { initialScale: 8 })).lossScale?.hyperparameters.initialScale).toBe(8);
    expect(plan(sgd()).lossScale).toBeUndefined();
    // Before there are parameters, too.
    expect(plan(lossScaling(sgd(), { initialScale: 4 }), []).lossScale?.hyperparameters.initialScale).toBe(4);
  });

  it('hashes everything that may happen to a parameter, and nothing that is a number', () => {
    const hash = (optimizer: Optimizer): string => plan(optimizer).parameters[0].hash;
    const all = [
      sgd(),
      momentum(),
      ema(0.9, sgd()),
      lookahead(sgd()),
      ema(0.9, lookahead(sgd())),
      lookahead(ema(0.9, sgd())),
    ];
    expect(new Set(all.map(hash)).size).toBe(all.length);
    expect(hash(ema(0.9, sgd({ lr: 1 })))).toBe(hash(ema(0.5, sgd({ lr: 2 }))));
  });
});

describe('a plan is refused', () => {
  const wrong: [string, () => unknown, string, string][] = [
    [
      'with a group that chooses nothing',
      () => plan(groups([{ name: 'biases', match: 'a.bais', hyperparameters: { lr: 1 } }], sgd())),
      'unknown-parameter',
      'the match of the group "biases" "a.bais" matches none of the 3 parameters; the nearest are "a.bias"',
    ],
    [
      'with a group inside a group that chooses nothing of what is left to it',
      () => plan(groups([{ match: /weight/, optimizer: groups([{ match: 'a.bias' }], sgd()) }], sgd())),
      'unknown-parameter',
      'the match of the group "group1" "a.bias" matches none of the 2 parameters',
    ],
    [
      'for a function in the place of the optimizer that it makes',
      () => plan(sgd as unknown as Optimizer),
      'invalid-plan',
      'a run needs an optimizer, not the function: sgd()',
    ],
    [
      'that collects twice',
      () => plan(accumulate(2, accumulate(3, sgd()))),
      'invalid-plan',
      'gradients are collected in two places; put one accumulate() around everything',
    ],
    [
      'that collects in a group',
      () => plan(groups([{ match: /bias/, optimizer: accumulate(2, sgd()) }], sgd())),
      'invalid-plan',
      'accumulate() is inside a group, but a step is one for all parameters; put it around groups()',
    ],
    [
      'that collects and perturbs',
      () => plan(accumulate(2, sam(0.1, sgd()))),
      'invalid-plan',
      'accumulate() and sam() cannot be combined',
    ],
    [
      'that scales the loss twice',
      () => plan(lossScaling(clipByValue(1, lossScaling(sgd())))),
      'invalid-plan',
      'the loss is scaled in two places; put one lossScaling() around everything',
    ],
    [
      'that scales the loss in a group, so that gradients of the others would stay scaled',
      () => plan(groups([{ match: /bias/, optimizer: lossScaling(sgd()) }], sgd())),
      'invalid-plan',
      'lossScaling() is inside a group, but the loss is one for all parameters; put it around groups()',
    ],
    ...[maximize(sam(1, sgd())), sam(1, maximize(sgd()))].map((optimizer): [string, () => unknown, string, string] => [
      `of ${String(optimizer)}: where the loss is larger is the way it goes already`,
      () => plan(optimizer),
      'invalid-plan',
      'maximize() and sam() cannot be combined: sam() moves to where the loss is larger',
    ]),
  ];
  it.each(wrong)('%s', (_, make, code, message) => {
    expect(make).toThrow(message);
    expect(make).toThrow(expect.objectContaining({ code }));
  });

  it('unless groups may be empty, as they may after parameters have been removed', () => {
    const optimizer = groups([{ match: 'gone', hyperparameters: { lr: 1 } }], sgd());
    expect(makePlan(optimizer, parameters, { allowEmptyGroups: true }).groups).toHaveLength(1);
  });
});
