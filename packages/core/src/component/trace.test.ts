import { describe, expect, it, vi } from 'vitest';
import { AdakitError } from '../errors.js';
import { asMatrix, asParam, matMul, mean, norm, sum, transpose, where, type Tensor } from '../expression/expression.js';
import { defineOptimizer } from '../optimizer/define.js';
import { definePhasedOptimizer, defineWrapper, type PhasedOptimizerSource } from '../compose/define-phased.js';
import { choice, coefficient, flag, learningRate, repeats } from '../optimizer/hyperparameters.js';
import type { Optimizer } from '../optimizer/optimizer.js';
import { concreteShape } from '../expression/extents.js';
import type { Rank } from '../expression/type.js';
import { makePlan } from '../plan/plan.js';
import { printProgram } from '../program/print.js';
import { inputNames, type Program } from '../program/program.js';
import type { Inputs, Slot, Structure } from './component.js';
import { bfloat16, float16 } from '../tensor/narrow.js';

const hyperparameters = { lr: learningRate(0.1), momentum: coefficient(0), nesterov: flag(false) };
type Hyper = typeof hyperparameters;
type Source = PhasedOptimizerSource<Hyper, 'm' | 'n', 'g'>;

const define = (changes: Partial<Source>) =>
  definePhasedOptimizer<Hyper, 'm' | 'n', 'g'>({
    name: 'demo',
    hyperparameters,
    update: ({ param }) => ({ param }),
    ...changes,
  });
/** What a JavaScript author may write, although a compiler refuses it. */
const loose = (source: object): Optimizer => define(source)();

const planned = (optimizer: Optimizer) => makePlan(optimizer, [{ name: 'w', shape: [2, 3] }]);
const hashOf = (optimizer: Optimizer): string => planned(optimizer).parameters[0].hash;
function updateOf(optimizer: Optimizer): Program {
  const [stage] = planned(optimizer).stages;
  if (stage.kind === 'total') throw new Error('one program is expected');
  return stage.calls[0].program;
}
const slotsOf = (optimizer: Optimizer): readonly Slot[] => planned(optimizer).parameters[0].slots;

it('a rule that does nothing but update has no second gradient to read', () => {
  const demo = defineOptimizer({
    name: 'demo',
    hyperparameters,
    // @ts-expect-error There is none.
    update: ({ param, estimate }) => ({ param: param.sub(estimate as Tensor) }),
  });
  expect(() => demo()).toThrow(
    'optimizer "demo": reads estimate, which does not exist; there is grad, param, slots, hyper, initial, uses, step, ' +
      'rows, cols, size, key, samples, allSamples, lossScale, matrix, units, wide, tall, role; definePhasedOptimizer() has more',
  );
});

describe('tracing', () => {
  it('hands the rule the structure: flags, choices, repeats, and which terms are not zero', () => {
    const seen: unknown[] = [];
    const demo = defineOptimizer({
      name: 'demo',
      hyperparameters: { ...hyperparameters, form: choice('plain', 'round'), times: repeats(3) },
      update({ param, uses }) {
        seen.push(uses);
        return { param };
      },
    });
    demo();
    demo({ momentum: 0.9, nesterov: true, form: 'round', times: 5 });
    expect(seen).toEqual([
      { lr: true, momentum: false, nesterov: false, form: 'plain', times: 3 },
      { lr: true, momentum: true, nesterov: true, form: 'round', times: 5 },
    ] satisfies Structure<typeof demo.hyperparameters>[]);
  });

  it('happens when an optimizer is made, once per structure, whatever the numbers', () => {
    const update = vi.fn(({ param }: Inputs<Hyper, 'm' | 'n', 'g'>) => ({ param }));
    const demo = define({ update });
    demo({ lr: 0.1, momentum: 0.5 });
    demo({ lr: 0.2, momentum: 0.9 }).with({ lr: 0.3 });
    expect(update).toHaveBeenCalledTimes(1);
    demo({ lr: 0.1 });
    expect(update).toHaveBeenCalledTimes(2);
  });

  it('is repeated for other forms of parameters, which rules may look at', () => {
    const seen: unknown[] = [];
    const demo = define({
      update({ param, matrix, units, wide, role }) {
        seen.push([matrix, units, wide, role]);
        return { param };
      },
    });
    makePlan(demo(), [
      { name: 'a', shape: [2, 3] },
      { name: 'b', shape: [4, 5] },
      { name: 'c', shape: [3] },
      { name: 'd', shape: [5, 2], units: 'last', role: 'embedding' },
    ]);
    // The first is what every optimizer is tried on when it is made.
    expect(seen.slice(1)).toEqual([
      [true, 'rows', true, undefined],
      [false, 'rows', false, undefined],
      [true, 'cols', false, 'embedding'],
    ]);
  });

  it('keeps numeric hyperparameters and the step as inputs', () => {
    const program = updateOf(
      define({
        update: ({ param, hyper, initial, step }) => ({ param: param.mul(hyper.lr.div(initial.lr)).add(step) }),
      })({
        lr: 0.25,
      }),
    );
    expect(inputNames(program)).toEqual(['param', 'hyper.lr', 'initial.lr', 'step']);
    expect(program.instructions.filter(({ form }) => form === 'constant')).toEqual([]);
  });

  it('names the program after the optimizer and the phase', () => {
    expect(printProgram(updateOf(define({})()))).toMatch(/^demo.update /);
  });

  it('spreads a number over the parameter where one is returned', () => {
    expect(printProgram(updateOf(define({ update: ({ grad }) => ({ param: mean(grad) }) })()))).toContain(
      'r1 = mean(grad)\n  t2 = broadcast(r1)\n  param <- t2',
    );
  });
});

describe('slots', () => {
  const update: Source['update'] = ({ slots: { m, n }, grad }) => ({ param: grad, slots: { m, n } });
  const withSlots = (slots: NonNullable<Source['slots']>): Optimizer => define({ slots, update })();

  it('have the parameter’s shape and float32 numbers, and start at zero, unless they say otherwise', () => {
    const meaning = { of: 'sum(grad)' };
    expect(
      slotsOf(
        define({
          slots: () => ['m', { name: 'n', shape: 'number', dtype: bfloat16, start: 0.5, meaning }],
          update: ({ param, slots }) => ({ param, slots: { m: slots.m, n: slots.n } }),
        })(),
      ),
    ).toEqual([
      { name: 'm', shape: 'param', dtype: 'float32', start: 0, meaning: undefined },
      { name: 'n', shape: 'number', dtype: bfloat16, start: 0.5, meaning },
    ]);
  });

  it('are the same however they are written', () => {
    expect(hashOf(withSlots(() => [{ start: 0, name: 'm' }, 'n']))).toBe(hashOf(withSlots(() => ['m', 'n'])));
  });

  it('may start as the parameter, or as anything that follows from it', () => {
    const [m, n] = slotsOf(
      define({
        slots: () => [
          { name: 'm', start: 'param' },
          { name: 'n', shape: ['rows', 1], start: ({ param }) => norm(asMatrix(param), 'cols') },
        ],
        update: ({ param, slots }) => ({ param, slots: { m: slots.m, n: slots.n } }),
      })(),
    );
    expect(
      [m, n].map(({ start }) => (typeof start === 'number' ? start : printProgram(start).split('\n').slice(1))),
    ).toEqual([['  start <- param'], ['  m1 = asMatrix(param)', '  m2 = norm over cols (m1)', '  start <- m2']]);
  });

  it('may be as wide as a rank, which is part of the hash, where there are rows and columns', () => {
    const ranked = (extent: Rank): Optimizer =>
      define({
        slots: () => [{ name: 'm', shape: ['rows', extent] }],
        update: ({ param, slots }) => ({ param, slots: { m: slots.m } }),
      })();
    expect(hashOf(ranked('rank 2'))).not.toBe(hashOf(ranked('rank 3')));
    const shapeOf = (shape: readonly number[], extent: Rank): readonly number[] => {
      const { slots, extents } = makePlan(ranked(extent), [{ name: 'w', shape }]).parameters[0];
      return concreteShape(slots[0].shape, shape, extents);
    };
    expect(shapeOf([5, 3], 'rank 2')).toEqual([5, 2]);
    expect(shapeOf([5, 3], 'rank 4')).toEqual([5, 3]);
    expect(shapeOf([2, 3, 4], 'rank 4')).toEqual([2, 2]);
    expect(() => makePlan(ranked('rank 2'), [{ name: 'b', shape: [3] }])).toThrow(
      'optimizer "demo": the slot "m" is [rows, rank 2], which is for matrices alone (form.matrix)',
    );
  });

  it('change the hash by name, shape, format, start and new value', () => {
    const base = define({ slots: () => ['m'], update: ({ param, slots }) => ({ param, slots: { m: slots.m } }) })();
    const others: Partial<Source>[] = [
      { slots: () => ['n'], update: ({ param, slots }) => ({ param, slots: { n: slots.n } }) },
      {
        slots: () => [{ name: 'm', shape: 'number' }],
        update: ({ param, slots }) => ({ param, slots: { m: slots.m } }),
      },
      {
        slots: () => [{ name: 'm', dtype: float16 }],
        update: ({ param, slots }) => ({ param, slots: { m: slots.m } }),
      },
      { slots: () => [{ name: 'm', start: 1 }], update: ({ param, slots }) => ({ param, slots: { m: slots.m } }) },
      {
        slots: () => [{ name: 'm', start: 'param' }],
        update: ({ param, slots }) => ({ param, slots: { m: slots.m } }),
      },
      { slots: () => ['m'], update: ({ param, grad }) => ({ param, slots: { m: grad } }) },
    ];
    const hashes = [base, ...others.map((source) => define(source)())].map(hashOf);
    expect(new Set(hashes).size).toBe(hashes.length);
  });
});

describe('a rule with a mistake', () => {
  const missing = undefined as unknown as Tensor;
  const mistakes: [string, () => unknown, string][] = [
    [
      'reads an undeclared slot',
      () => define({ update: ({ param, slots }) => ({ param: param.add(slots.m) }) })(),
      'reads slots.m, which does not exist; there is nothing for {"lr":true,"momentum":false,"nesterov":false}',
    ],
    [
      'reads an undeclared global',
      () => define({ update: ({ param, globals }) => ({ param: param.add(globals.g) }) })(),
      'reads globals.g, which does not exist; there is nothing',
    ],
    [
      'reads an unknown hyperparameter',
      () =>
        loose({
          update: ({ param, hyper }: { param: Tensor; hyper: Record<string, Tensor> }) => ({
            param: param.mul(hyper.rate),
          }),
        }),
      'reads hyper.rate, which does not exist; there is lr, momentum',
    ],
    [
      'reads an input that there is not',
      () =>
        loose({
          update: ({ param, gradient }: { param: Tensor; gradient: Tensor }) => ({ param: param.sub(gradient.mul(2)) }),
        }),
      'reads gradient, which does not exist; there is grad, param, slots, ',
    ],
    [
      'asks for an unknown hyperparameter',
      () =>
        loose({
          update: ({ param, uses }: { param: Tensor; uses: Record<string, boolean> }) => ({
            param: uses.nestrov ? param.neg() : param,
          }),
        }),
      'reads uses.nestrov, which does not exist; there is lr, momentum, nesterov',
    ],
    [
      'declares slots by an unknown hyperparameter',
      () => loose({ slots: (uses: Record<string, boolean>) => (uses.nestrov ? ['m'] : []) }),
      'reads uses.nestrov, which does not exist; there is lr, momentum, nesterov',
    ],
    [
      'declares slots by an unknown form',
      () => loose({ slots: (_: unknown, form: Record<string, boolean>) => (form.vector ? ['m'] : []) }),
      'reads vector, which does not exist; there is matrix, units, wide, tall, role',
    ],
    [
      'declares globals by an unknown hyperparameter',
      () => loose({ globals: (uses: Record<string, boolean>) => (uses.nestrov ? ['g'] : []) }),
      'reads uses.nestrov, which does not exist; there is lr, momentum, nesterov',
    ],
    [
      'starts a slot at the gradient',
      () => loose({ slots: () => [{ name: 'm', start: ({ grad }: { grad: Tensor }) => grad.neg() }] }),
      'reads grad, which does not exist; there is param',
    ],
    [
      'reads a sum that is not measured',
      () =>
        define({
          globals: () => ['g'],
          measure: ({ grad }) => ({ sums: { s: sum(grad) } }),
          total: ({ sums }) => ({ g: sums.t }),
        })(),
      'reads sums.t, which does not exist; there is s',
    ],
    [
      'reads the parameter where there is none',
      () => loose({ globals: () => ['g'], total: ({ param }: { param: Tensor }) => ({ g: norm(param) }) }),
      'reads param, which does not exist; there is sums, largest, globals, hyper, initial, uses, step',
    ],
    [
      'looks at the weights by the gradient',
      () => loose({ views: { other: ({ grad }: { grad: Tensor }) => grad.neg() } }),
      'reads grad, which does not exist; there is param, slots, ',
    ],
    [
      'reads a flag as a number',
      () =>
        loose({
          update: ({ param, initial }: { param: Tensor; initial: Record<string, Tensor> }) => ({
            param: param.mul(initial.nesterov),
          }),
        }),
      'reads initial.nesterov, which does not exist; there is lr, momentum',
    ],
    [
      'forgets the new value of a slot',
      () => define({ slots: () => ['m', 'n'], update: ({ param, grad }) => ({ param, slots: { m: grad } }) })(),
      'must return an expression for the slot "n"',
    ],
    [
      'returns a slot it does not declare',
      () => define({ slots: () => ['m'], update: ({ param }) => ({ param, slots: { m: param, n: param } }) })(),
      'returns the slot "n", which slots() does not declare',
    ],
    [
      'returns a global it does not declare',
      () => define({ measure: ({ grad }) => ({ sums: { s: sum(grad) } }), total: ({ sums }) => ({ g: sums.s }) })(),
      'total returns the global "g", which globals() does not declare',
    ],
    [
      'returns no parameter',
      () => define({ update: () => ({ param: missing }) })(),
      'update must return an expression for param',
    ],
    [
      'returns a comparison for the parameter',
      () => loose({ update: ({ param }: { param: Tensor }) => ({ param: param.less(0) }) }),
      'update must return an expression for param',
    ],
    [
      'returns a matrix for the parameter',
      () => define({ update: ({ param }) => ({ param: asMatrix(param) }) })(),
      "update returns [rows, cols] for param, which is the parameter's",
    ],
    [
      'returns the parameter for a number',
      () =>
        define({
          slots: () => [{ name: 'm', shape: 'number' }],
          update: ({ param }) => ({ param, slots: { m: param } }),
        })(),
      "a phase returns the parameter's for slot.m, which is []",
    ],
    [
      'adds up more than a number',
      () => define({ measure: ({ grad }) => ({ sums: { s: grad } }) })(),
      "measure returns the parameter's for sum.s, which is []",
    ],
    ['returns nothing', () => loose({ update: () => undefined }), 'update must return an expression for param'],
    [
      'is asynchronous',
      () => loose({ update: async ({ param }: { param: Tensor }) => Promise.resolve({ param }) }),
      'update is async',
    ],
    [
      'returns the parameter itself',
      () => loose({ update: ({ param }: { param: Tensor }) => param }),
      'update must return an expression for param',
    ],
    ['lists slots without a function', () => loose({ slots: ['m'] }), 'TypeError: source.slots is not a function'],
    ['declares slots later', () => loose({ slots: async () => Promise.resolve(['m']) }), 'map is not a function'],
    [
      'names a format by a word',
      () => loose({ slots: () => [{ name: 'm', dtype: 'float16' }] }),
      'has a string as its dtype',
    ],
    [
      'starts a slot at a word',
      () => loose({ slots: () => [{ name: 'm', start: 'zero' }] }),
      'start is not a function',
    ],
    [
      'lists globals without a function',
      () => loose({ globals: ['g'] }),
      'TypeError: source.globals is not a function',
    ],
    ['has no hyperparameters', () => loose({ hyperparameters: undefined }), 'has no hyperparameters'],
    [
      'gives a hyperparameter as a number',
      () => loose({ hyperparameters: { lr: 0.1 } }),
      'lr must be learningRate() or such',
    ],
    [
      'takes a function for a method',
      () => loose({ update: ({ param }: { param: Tensor & { sum(): Tensor } }) => ({ param: param.sum() }) }),
      'update: TypeError: param.sum is not a function',
    ],
    [
      'throws',
      () => {
        const update = () => {
          throw new RangeError('mine');
        };
        return loose({ update });
      },
      'update: RangeError: mine',
    ],
    [
      'declares a slot of another shape',
      () =>
        loose({
          slots: () => [{ name: 'm', shape: ['row', 1] }],
          update: ({ param }: { param: Tensor }) => ({ param }),
        }),
      'the slot "m" has the shape row,1',
    ],
    [
      'starts a slot at NaN',
      () => define({ slots: () => [{ name: 'm', start: NaN }] })(),
      'the slot "m" starts at NaN',
    ],
    [
      'starts a slot of another shape as the parameter',
      () => define({ slots: () => [{ name: 'm', shape: 'number', start: 'param' }] })(),
      "the start of a slot returns the parameter's for slot m, which is []",
    ],
    ['declares a slot twice', () => define({ slots: () => ['m', 'm'] })(), 'slots() declares "m" twice'],
    ['declares a global twice', () => define({ globals: () => ['g', 'g'] })(), 'globals() declares "g" twice'],
    [
      'multiplies with JavaScript’s operator',
      () =>
        loose({
          update: ({ param, hyper }: { param: number; hyper: { lr: number } }) => ({ param: param * hyper.lr }),
        }),
      "update: JavaScript's operators do not work on symbolic values: write grad.mul(lr) for grad * lr",
    ],
    [
      'asks if the gradient is positive',
      () =>
        define({ update: ({ param, grad }) => ({ param: (grad.greater(0) as unknown as boolean) ? param : grad }) })(),
      'update: the comparison .greater(…) is never used',
    ],
    [
      'asks whether it is the first step',
      () =>
        loose({
          update: ({ param, step }: { param: Tensor; step: number }) => ({ param: step > 1 ? param : param.neg() }),
        }),
      'step.greater(1) for step > 1',
    ],
    [
      'computes with what is missing',
      () =>
        loose({
          update: ({ param, hyper }: { param: Tensor; hyper: { lr: { value: number } } }) => ({
            param: param.mul(hyper.lr.value * 2),
          }),
        }),
      'update: NaN as a constant, most likely of a missing value',
    ],
  ];
  it.each(mistakes)('that %s is refused when it is made, naming the optimizer', (_, make, message) => {
    expect(make).toThrow(AdakitError);
    expect(make).toThrow(expect.objectContaining({ code: 'invalid-rule' }));
    expect(make).toThrow(message);
    expect(make).toThrow(/^optimizer "demo"/);
  });

  const names: [string, () => unknown, string][] = [
    [
      'of a slot with a slash',
      () => define({ slots: () => [{ name: 'a/b' as 'm' }] })(),
      'the slot name "a/b" must be letters',
    ],
    ['of a slot that is empty', () => define({ slots: () => ['' as 'm'] })(), 'the slot name "" must be letters'],
    ['of a slot with a dot', () => define({ slots: () => ['a.b' as 'm'] })(), 'the slot name "a.b" must be letters'],
    [
      'of a slot that begins with a digit',
      () => define({ slots: () => ['1m' as 'm'] })(),
      'the slot name "1m" must be letters',
    ],
    ['of a global', () => define({ globals: () => ['g g' as 'g'] })(), 'the global name "g g" must be letters'],
    [
      'of a sum',
      () => define({ measure: ({ grad }) => ({ sums: { 'a/b': sum(grad) } }) })(),
      'the sum name "a/b" must be letters',
    ],
    [
      'of an optimizer',
      () => define({ name: 'my optimizer' }),
      'the optimizer name "my optimizer" must be letters, digits and _ or -, a letter first',
    ],
    ['of an optimizer that is empty', () => define({ name: '' }), 'the optimizer name "" must be letters'],
    [
      'of a hyperparameter',
      () =>
        defineOptimizer({ name: 'demo', hyperparameters: { 'a.b': flag(true) }, update: ({ param }) => ({ param }) }),
      'the hyperparameter name "a.b" must be letters',
    ],
  ];
  it.each(names)('so is a name %s', (_, make, message) => {
    expect(make).toThrow(expect.objectContaining({ code: 'invalid-rule' }));
    expect(make).toThrow(message);
  });
});

describe('the factory', () => {
  const demo = define({});

  it('carries its name and hyperparameters', () => {
    expect([demo.name, demo.optimizerName]).toEqual(['demo', 'demo']);
    expect(demo.hyperparameters).toBe(hyperparameters);
  });

  it('loads hyperparameters that nobody has checked', () => {
    const decayed = defineOptimizer({
      name: 'decayed',
      hyperparameters: { weightDecay: coefficient(0) },
      update: ({ param }) => ({ param }),
    });
    expect(decayed.load({ weightDecay: 0.5 }).hyperparameters).toEqual({ weightDecay: 0.5 });
    expect(() => decayed.load({ weight_decay: 0.5 })).toThrow(
      'decayed: unknown hyperparameter "weight_decay", did you mean "weightDecay"?',
    );
  });

  it('takes only camelCase when called', () => {
    const options: object = { weight_decay: 0.5 };
    expect(() => demo(options)).toThrow('unknown hyperparameter "weight_decay"');
  });

  it('of a wrapper wants an optimizer, not what makes one', () => {
    const around = defineWrapper({ name: 'around', hyperparameters: {}, after: ({ param }) => ({ param }) });
    expect(String(around({}, demo()))).toBe('around(demo)');
    expect(() => around({}, demo as unknown as Optimizer)).toThrow('demo()');
    expect(() => around({}, {} as unknown as Optimizer)).toThrow('around()');
  });
});

it('a rule may use matrices in every phase', () => {
  const whitened = define({
    slots: () => [{ name: 'm', shape: ['rows', 'rows'] }],
    update({ param, grad, slots }) {
      const g = asMatrix(grad);
      const m = slots.m.add(matMul(g, transpose(g)));
      return { param: asParam(asMatrix(param).sub(where(sum(m).greater(0), matMul(m, g), g))), slots: { m } };
    },
  })();
  expect(slotsOf(whitened)[0].shape).toEqual(['rows', 'rows']);
});
