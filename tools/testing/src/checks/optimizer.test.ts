import { coefficient, defineOptimizer, flag, learningRate } from '@adakit/core';
import { expect, it } from 'vitest';
import { installedDevices } from '../devices/installed.js';
import { optimizerChecks, type CheckedFactory } from './optimizer.js';

const traced = 'is the same program whenever it is traced';

/** What a check finds wrong with a rule, if anything. */
async function problem(factory: CheckedFactory, name: string): Promise<string | undefined> {
  const [{ run }] = optimizerChecks(factory, {}).filter((each) => each.name === name);
  try {
    await run();
    return undefined;
  } catch (error) {
    return String(error);
  }
}

/** Descent at a rate that is multiplied by what a function gives. */
const descent = (factor: () => number): CheckedFactory =>
  defineOptimizer({
    name: 'descent',
    hyperparameters: { lr: learningRate(0.1) },
    update: ({ param, grad, hyper }) => ({ param: param.sub(grad.mul(hyper.lr.mul(factor()))) }),
  });

it('a rule may depend on what stays', async () => {
  expect(
    await problem(
      descent(() => 2),
      traced,
    ),
  ).toBeUndefined();
});

it('a rule that depends on chance or on a count outside is found', async () => {
  let calls = 0;
  expect(await problem(descent(Math.random), traced)).toContain('such as Math.random()');
  expect(
    await problem(
      descent(() => ++calls),
      traced,
    ),
  ).toContain('or a counter');
});

it('a hyperparameter that is declared and forgotten is found, and one that needs another is not', async () => {
  const nesterov = defineOptimizer({
    name: 'nesterov',
    hyperparameters: { lr: learningRate(0.1), momentum: coefficient(0), nesterov: flag(false) },
    slots: ({ momentum }) => (momentum ? ['velocity'] : []),
    update({ param, grad, slots, hyper: { lr, momentum }, uses }) {
      if (!uses.momentum) return { param: param.sub(grad.mul(lr)) };
      const velocity = slots.velocity.mul(momentum).add(grad);
      return {
        param: param.sub((uses.nesterov ? velocity.mul(momentum).add(grad) : velocity).mul(lr)),
        slots: { velocity },
      };
    },
  });
  const depends = 'depends on each of its hyperparameters';
  expect(await problem(nesterov, depends)).toBeUndefined();
  const forgetful = defineOptimizer({
    name: 'forgetful',
    hyperparameters: { lr: learningRate(0.1), weightDecay: coefficient(0), nesterov: flag(false) },
    update: ({ param, grad, hyper }) => ({ param: param.sub(grad.mul(hyper.lr)) }),
  });
  expect(await problem(forgetful, depends)).toContain('weightDecay, nesterov: declared');
});

it.each<[what: string, reason: unknown, problem: string | undefined]>([
  ['an object', { because: 'the rule divides by it' }, undefined],
  ['nothing', undefined, undefined],
  ['a word alone', 'small', 'the values of lr, or the reason for them: unknown option "0"'],
  ['one that is misspelt', { becuase: 'small' }, 'unknown option "becuase", did you mean "because"?'],
  ['a number', { because: 3 }, 'because must be text, got 3'],
])('a reason for the values of a hyperparameter is an object: %s', async (_, reason, expected) => {
  const factory = defineOptimizer({
    name: 'descent',
    hyperparameters: { lr: learningRate(0.1, reason as never) },
    update: ({ param, grad, hyper }) => ({ param: param.sub(grad.mul(hyper.lr)) }),
  });
  const found = await problem(factory, 'declares values of its hyperparameters by limits that there are');
  if (expected === undefined) expect(found).toBeUndefined();
  else expect(found).toContain(expected);
});

it('an expectation that is misspelt is refused: it would be one that nobody looks after', () => {
  const rule = descent(() => 2);
  expect(() => optimizerChecks(rule, { refues: [] } as never)).toThrow(
    'the expectations of descent: unknown option "refues", did you mean "refuses"?',
  );
  expect(() => optimizerChecks(rule, { references: 'run.json' as never })).toThrow(
    'references must be a list of names',
  );
  expect(() => installedDevices({ name: [] } as never)).toThrow('unknown option "name", did you mean "names"?');
});
