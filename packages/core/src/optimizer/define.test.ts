import { describe, expect, it, vi } from 'vitest';
import { AdakitError } from '../errors.js';
import type { Tensor } from '../expression/expression.js';
import { printProgram } from '../program/print.js';
import { defineOptimizer, type OptimizerSource, type Structure, type UpdateInputs } from './define.js';
import { coefficient, flag, learningRate, type HyperparameterDefinitions } from './hyperparameters.js';

const hyperparameters = { lr: learningRate(0.1), momentum: coefficient(0), nesterov: flag(false) };
type Hyper = typeof hyperparameters;
type Source = OptimizerSource<Hyper, 'm' | 'n'>;

const define = (changes: Partial<Source>) =>
  defineOptimizer<Hyper, 'm' | 'n'>({
    name: 'demo',
    hyperparameters,
    slots: () => [],
    update: ({ param }) => ({ param }),
    ...changes,
  });

describe('tracing', () => {
  it('hands the rule the structure: flags, and which terms are not zero', () => {
    const seen: Structure<Hyper>[] = [];
    const demo = define({
      update: ({ param, uses }) => {
        seen.push(uses);
        return { param };
      },
    });
    for (const optimizer of [demo(), demo({ momentum: 0.9, nesterov: true })]) {
      expect(optimizer.program.optimizer).toBe('demo');
    }
    expect(seen).toEqual([
      { lr: true, momentum: false, nesterov: false },
      { lr: true, momentum: true, nesterov: true },
    ]);
  });

  it('happens once per structure, whatever the numbers', () => {
    const update = vi.fn(({ param }: UpdateInputs<Hyper, 'm' | 'n'>) => ({ param }));
    const demo = define({ update });
    const first = demo({ lr: 0.1, momentum: 0.5 }).program;
    expect(demo({ lr: 0.2, momentum: 0.9 }).with({ lr: 0.3 }).program).toBe(first);
    expect(update).toHaveBeenCalledTimes(1);
    expect(demo({ lr: 0.1 }).program).not.toBe(first);
    expect(update).toHaveBeenCalledTimes(2);
  });

  it('keeps numeric hyperparameters and the step as inputs', () => {
    const demo = define({
      update: ({ param, hyper, initial, step }) => ({ param: param.mul(hyper.lr.div(initial.lr)).add(step) }),
    });
    const { program } = demo({ lr: 0.25 });
    expect(program.instructions.flatMap((i) => (i.op === 'input' ? [i.name] : []))).toEqual([
      'param',
      'hyper.lr',
      'initial.lr',
      'step',
    ]);
    expect(program.instructions.filter(({ op }) => op === 'constant')).toEqual([]);
  });

  it('starts slots at zero unless they say otherwise, and hashes them the same however they are written', () => {
    const update: Source['update'] = ({ slots: { m, n }, grad }) => ({ param: grad, slots: { m, n } });
    const slots = (source: Source['slots']) => define({ slots: source, update })().program;
    expect(slots(() => ['m', { name: 'n', initial: 0.5 }]).slots).toEqual([
      { name: 'm', initial: 0 },
      { name: 'n', initial: 0.5 },
    ]);
    expect(slots(() => [{ initial: 0, name: 'm' }, 'n']).hash).toBe(slots(() => ['m', 'n']).hash);
  });

  it('names the program after the optimizer', () => {
    expect(printProgram(define({})().program)).toMatch(/^demo /);
  });
});

describe('a rule with a mistake', () => {
  const missing = undefined as unknown as Tensor;
  // What the compiler would refuse, as a JavaScript author may write it.
  const loose = (source: object) => define(source);
  const mistakes: [string, () => { readonly program: unknown }, string][] = [
    [
      'reads an undeclared slot',
      () => define({ update: ({ param, slots }) => ({ param: param.add(slots.m) }) })(),
      'update reads the slot "m", which slots() does not declare for {"lr":true,"momentum":false,"nesterov":false}',
    ],
    [
      'reads an unknown hyperparameter',
      () =>
        loose({
          update: ({ param, hyper }: { param: Tensor; hyper: Record<string, Tensor> }) => ({
            param: param.mul(hyper.rate),
          }),
        })(),
      'update reads hyper.rate, which is not a numeric hyperparameter',
    ],
    [
      'reads a flag as a number',
      () =>
        loose({
          update: ({ param, initial }: { param: Tensor; initial: Record<string, Tensor> }) => ({
            param: param.mul(initial.nesterov),
          }),
        })(),
      'update reads initial.nesterov, which is not a numeric hyperparameter',
    ],
    [
      'forgets the new value of a slot',
      () => define({ slots: () => ['m', 'n'], update: ({ param, grad }) => ({ param, slots: { m: grad } }) })(),
      'update must return an expression for the slot "n"',
    ],
    [
      'returns a slot it does not declare',
      () => define({ slots: () => ['m'], update: ({ param }) => ({ param, slots: { m: param, n: param } }) })(),
      'update returns the slot "n", which slots() does not declare',
    ],
    [
      'returns no parameter',
      () => define({ update: () => ({ param: missing }) })(),
      'update must return an expression for param',
    ],
    [
      'returns a condition for the parameter',
      () => loose({ update: ({ param }: { param: Tensor }) => ({ param: param.less(0) }) })(),
      'update must return an expression for param',
    ],
    ['declares a slot twice', () => define({ slots: () => ['m', 'm'] })(), 'slots() declares "m" twice'],
  ];
  it.each(mistakes)('that %s is refused, naming the optimizer', (_, make, message) => {
    expect(() => make().program).toThrow(new AdakitError('invalid-rule', `optimizer "demo": ${message}`));
    expect(() => make().program).toThrow(expect.objectContaining({ code: 'invalid-rule' }));
  });
});

describe('the factory', () => {
  const demo = define({});

  it('carries its name and hyperparameters', () => {
    expect(demo.name).toBe('demo');
    expect(demo.optimizerName).toBe('demo');
    expect(demo.hyperparameters).toBe(hyperparameters);
  });

  it('loads snake_case and camelCase alike', () => {
    const decayed = defineOptimizer({
      name: 'decayed',
      hyperparameters: { weightDecay: coefficient(0) } satisfies HyperparameterDefinitions,
      slots: () => [],
      update: ({ param }) => ({ param }),
    });
    expect(decayed.load({ weight_decay: 0.5 }).hyperparameters).toEqual({ weightDecay: 0.5 });
    expect(decayed.load({ weightDecay: 0.5 }).hyperparameters).toEqual({ weightDecay: 0.5 });
    expect(() => decayed.load({ weight_decy: 0.5 })).toThrow(
      'decayed: unknown hyperparameter "weightDecy", did you mean "weightDecay"?',
    );
  });

  it('takes only camelCase when called', () => {
    const options: object = { weight_decay: 0.5 };
    expect(() => demo(options)).toThrow('unknown hyperparameter "weight_decay"');
  });
});
