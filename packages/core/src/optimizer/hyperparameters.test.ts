import { describe, expect, it } from 'vitest';
import { AdakitError } from '../errors.js';
import { parseHyperparameters, problemOf } from './hyperparameter-values.js';
import {
  anyNumber,
  choice,
  coefficient,
  count,
  decayRate,
  epsilon,
  flag,
  fraction,
  learningRate,
  nonNegative,
  positive,
  rank,
  repeats,
  type Hyperparameter,
  type HyperparameterDefinitions,
  type HyperparameterValues,
  type NumberHyperparameter,
} from './hyperparameters.js';

const definitions = {
  lr: learningRate(1e-3),
  beta1: decayRate(0.9),
  eps: epsilon(1e-8),
  weightDecay: coefficient(0),
  amsgrad: flag(false),
};

const parsed = (
  name: string,
  hyperparameters: HyperparameterDefinitions,
  given: Record<string, unknown>,
  when: 'atConstruction' | 'perStep',
  initial: HyperparameterValues = {},
) => parseHyperparameters({ component: { name, hyperparameters }, initial }, given, when);
const parse = (given: Record<string, unknown>, when: 'atConstruction' | 'perStep' = 'atConstruction') =>
  parsed('adam', definitions, given, when);
const messageOf = (action: () => unknown): string => {
  try {
    action();
  } catch (error) {
    expect(error).toBeInstanceOf(AdakitError);
    return (error as AdakitError).message;
  }
  throw new Error('expected an error');
};

describe('parseHyperparameters', () => {
  it('completes what is given with the defaults', () => {
    expect(parse({ lr: 0.1, amsgrad: true, eps: undefined })).toEqual({
      lr: 0.1,
      beta1: 0.9,
      eps: 1e-8,
      weightDecay: 0,
      amsgrad: true,
    });
  });

  const refused: [Record<string, unknown>, string][] = [
    [{ lr: -1 }, 'adam: lr must be > 0, got -1'],
    [{ lr: 0 }, 'adam: lr must be > 0, got 0'],
    [{ lr: NaN }, 'adam: lr must be a finite number, got NaN'],
    [{ lr: Infinity }, 'adam: lr must be a finite number, got Infinity'],
    [{ lr: '0.1' }, 'adam: lr must be a finite number, got "0.1"'],
    [{ lr: null }, 'adam: lr must be a finite number, got null'],
    [{ lr: true }, 'adam: lr must be a finite number, got true'],
    [{ beta1: 1 }, 'adam: beta1 must be >= 0 and < 1, got 1'],
    [{ beta1: -0.1 }, 'adam: beta1 must be >= 0 and < 1, got -0.1'],
    [{ eps: -1e-8 }, 'adam: eps must be >= 0, got -1e-8'],
    [{ weightDecay: -1 }, 'adam: weightDecay must be >= 0, got -1'],
    [{ amsgrad: 1 }, 'adam: amsgrad must be true or false, got 1'],
    [{ amsgrad: 'yes' }, 'adam: amsgrad must be true or false, got "yes"'],
    [
      { lr: -1, beta1: 2, amsgrad: 0 },
      'adam: lr must be > 0, got -1; beta1 must be >= 0 and < 1, got 2; amsgrad must be true or false, got 0',
    ],
  ];
  it.each(refused)('refuses %o, naming each hyperparameter and its value', (given, message) => {
    expect(messageOf(() => parse(given))).toBe(message);
  });

  const unknown: [Record<string, unknown>, string][] = [
    [{ weightDecy: 0 }, 'unknown hyperparameter "weightDecy", did you mean "weightDecay"?'],
    [{ weight_decay: 0 }, 'unknown hyperparameter "weight_decay", did you mean "weightDecay"?'],
    [{ Beta1: 0 }, 'unknown hyperparameter "Beta1", did you mean "beta1"?'],
    [{ temperature: 0 }, 'unknown hyperparameter "temperature"'],
    [{ toString: 0 }, 'unknown hyperparameter "toString"'],
    [
      { lrr: 1, amsgrat: true },
      'unknown hyperparameter "lrr", did you mean "lr"?; unknown hyperparameter "amsgrat", did you mean "amsgrad"?',
    ],
  ];
  it.each(unknown)('refuses %o, with the nearest name', (given, message) => {
    expect(messageOf(() => parse(given))).toBe(`adam: ${message} (known: lr, beta1, eps, weightDecay, amsgrad)`);
  });

  it('refuses a number in their place, as tf.train.adam takes it', () => {
    expect(messageOf(() => parse(0.001 as unknown as Record<string, unknown>))).toBe(
      'adam: hyperparameters must be an object, got 0.001 (known: lr, beta1, eps, weightDecay, amsgrad)',
    );
  });

  it('says by its code whether a name or a value is wrong', () => {
    expect(() => parse({ lrr: 1 })).toThrow(expect.objectContaining({ code: 'unknown-hyperparameter' }));
    expect(() => parse({ lr: -1 })).toThrow(expect.objectContaining({ code: 'invalid-hyperparameter' }));
  });

  it('allows a learning rate of zero at a step, as in a warm-up, but not less', () => {
    expect(parse({ lr: 0 }, 'perStep').lr).toBe(0);
    expect(messageOf(() => parse({ lr: -1 }, 'perStep'))).toBe('adam: lr must be >= 0, got -1');
  });

  it('requires what has no default', () => {
    expect(messageOf(() => parsed('sgd', { lr: learningRate() }, {}, 'atConstruction'))).toBe('sgd: lr is required');
  });
});

describe('the kinds of hyperparameters', () => {
  const because = 'it divides';
  const kinds: [string, Hyperparameter, accepted: number[], refused: number[]][] = [
    ['learningRate', learningRate(1), [1e-30, 1, 100], [0, -1]],
    ['decayRate', decayRate(0.5), [0, 0.999], [1, -0.1]],
    ['positive decayRate', decayRate(0.5, { because }), [1e-9, 0.999], [0, 1]],
    ['epsilon', epsilon(0), [0, 1], [-1e-30]],
    ['positive', positive(1), [1e-30, 5], [0, -1]],
    ['nonNegative', nonNegative(0), [0, 5], [-1]],
    ['coefficient', coefficient(0), [0, 5], [-1]],
  ];
  it.each(kinds)('%s accepts its range and nothing else', (_, definition, accepted, refused) => {
    const parse = (value: number) => parsed('demo', { value: definition }, { value }, 'atConstruction');
    for (const value of accepted) expect(parse(value)).toEqual({ value });
    for (const value of refused) expect(() => parse(value)).toThrow(`demo: value must be `);
  });

  it('fraction, count and anyNumber accept their ranges and nothing else', () => {
    const parse = (definition: NumberHyperparameter, value: unknown) =>
      parsed('demo', { value: definition }, { value }, 'atConstruction').value;
    expect([0, 0.5, 1].map((value) => parse(fraction(0.5), value))).toEqual([0, 0.5, 1]);
    expect(() => parse(fraction(0.5), 1.5)).toThrow('demo: value must be >= 0 and <= 1, got 1.5');
    expect([1, 7].map((value) => parse(count(3), value))).toEqual([1, 7]);
    expect(() => parse(count(3), 0)).toThrow('demo: value must be a whole number and >= 1, got 0');
    expect(() => parse(count(3), 1.5)).toThrow('demo: value must be a whole number and >= 1, got 1.5');
    expect(parse(count(3, 0), 0)).toBe(0);
    expect([-1e9, 0].map((value) => parse(anyNumber(1), value))).toEqual([-1e9, 0]);
    expect(() => parse(anyNumber(1), Infinity)).toThrow('demo: value must be a finite number, got Infinity');
  });

  it('choice accepts its words, the first by default, and repeats whole numbers within bounds', () => {
    const definitions = { form: choice('plain', 'round'), times: repeats(5, 1, 9) };
    const parse = (given: object) => parsed('demo', definitions, { ...given }, 'perStep');
    expect(parse({})).toEqual({ form: 'plain', times: 5 });
    expect(parse({ form: 'round', times: 9 })).toEqual({ form: 'round', times: 9 });
    expect(() => parse({ form: 'square', times: 10 })).toThrow(
      'demo: form must be one of plain, round, got "square"; times must be a whole number and >= 1 and <= 9, got 10',
    );
  });

  it('rank is what it was when the optimizer was made', () => {
    const definitions = { rank: rank(8) };
    const parse = (value: number, initial?: number) =>
      parsed('demo', definitions, { rank: value }, 'perStep', initial === undefined ? {} : { rank: initial });
    expect(parsed('demo', definitions, {}, 'atConstruction')).toEqual({ rank: 8 });
    expect(parse(1e6)).toEqual({ rank: 1e6 });
    expect(parse(4, 4)).toEqual({ rank: 4 });
    expect(() => parse(4, 5)).toThrow('demo: rank is 5 since the optimizer was made, got 4 (slots have its extent)');
    expect(() => parse(0, 5)).toThrow('demo: rank must be a whole number and >= 1, got 0');
  });

  it('know what an optimizer can be made with', () => {
    const definitions = { lr: learningRate(1), on: flag(true) };
    expect(problemOf(definitions.lr, 0.1, 'atConstruction')).toBeUndefined();
    expect(problemOf(definitions.lr, 0, 'atConstruction')).toBe('must be > 0, got 0');
    expect(problemOf(definitions.lr, 0, 'perStep')).toBeUndefined();
    expect(problemOf(definitions.on, 1, 'atConstruction')).toBe('must be true or false, got 1');
  });

  it('give the reason for an unusual range', () => {
    const definitions = {
      gamma: positive(1, { because }),
      beta: decayRate(0.5, { because }),
      lr: learningRate(1, { because }),
    };
    expect(messageOf(() => parsed('demo', definitions, { gamma: 0, beta: 0, lr: 0 }, 'atConstruction'))).toBe(
      'demo: gamma must be > 0, got 0 (it divides); beta must be > 0 and < 1, got 0 (it divides); lr must be > 0, got 0 (it divides)',
    );
  });
});
