import { describe, expect, it } from 'vitest';
import * as kinds from './kinds.js';
import { optionsProblem, type OptionKind } from './options.js';

const known = { name: kinds.text, count: kinds.required(kinds.count(1)) };

describe('what is wrong with options is said', () => {
  it.each<[unknown, string | undefined]>([
    [{ count: 1 }, undefined],
    [{ count: 1, name: undefined }, undefined],
    [undefined, 'options must be an object, got undefined (known: name, count)'],
    [null, 'options must be an object, got null (known: name, count)'],
    ['run', 'options must be an object, got "run" (known: name, count)'],
    [[], 'options must be an object, got [] (known: name, count)'],
    [{ count: 1, nmae: 'x' }, 'unknown option "nmae", did you mean "name"? (known: name, count)'],
    [{}, 'count is required'],
    [{ name: 3, count: 1.5 }, 'name must be text, got 3; count must be a whole number of at least 1, got 1.5'],
  ])('%o', (given, problem) => {
    expect(optionsProblem(given, known)).toBe(problem);
  });
});

const { signal } = new AbortController();
const part = kinds.options({ of: kinds.required(kinds.count(1)) });
const table: Record<string, [kind: OptionKind, right: unknown[], wrong: [unknown, string][]]> = {
  anything: [kinds.anything, [null, 1, 'x', {}], []],
  flag: [kinds.flag, [true, false], [[null, 'must be true or false, got null'], ['yes', 'must be true or false, got "yes"']]], // prettier-ignore
  text: [kinds.text, ['', 'x'], [[1, 'must be text, got 1']]],
  callable: [kinds.callable, [() => 1], [[{}, 'must be a function, got Object']]],
  object: [kinds.object, [{}, new Map()], [[null, 'must be an object, got null'], [[], 'must be an object, got Array']]], // prettier-ignore
  list: [
    kinds.list,
    [[], [1]],
    [
      ['x', 'must be a list, got "x"'],
      [{}, 'must be a list, got Object'],
    ],
  ],
  names: [kinds.names, [[], ['x']], [['x', 'must be a list of names, got "x"'], [[1], 'must be a list of names, got Array']]], // prettier-ignore
  numbers: [kinds.numbers, [[], [1], Float32Array.of(1)], [[[NaN], 'must be a list of numbers, got Array'], [1, 'must be a list of numbers, got 1']]], // prettier-ignore
  number: [kinds.number, [0, NaN, Infinity], [['1', 'must be a number, got "1"']]],
  limit: [kinds.limit, [0.5, Infinity], [[0, 'must be a number above 0, got 0'], [NaN, 'must be a number above 0, got NaN']]], // prettier-ignore
  within: [kinds.within({ above: 0, below: 1 }), [0.5], [[1, 'must be > 0 and < 1, got 1'], ['x', 'must be a finite number, got "x"']]], // prettier-ignore
  whole: [kinds.within({ integer: true }), [-1, 2], [[1.5, 'must be a whole number, got 1.5']]],
  count: [kinds.count(), [0, 3], [[-1, 'must be a whole number of at least 0, got -1'], [Infinity, 'must be a whole number of at least 0, got Infinity']]], // prettier-ignore
  seed: [kinds.seed, [0, 2 ** 32 - 1], [[2 ** 32, 'must be a whole number in [0, 2³²), got 4294967296'], [-1, 'must be a whole number in [0, 2³²), got -1']]], // prettier-ignore
  oneOf: [kinds.oneOf('mean', 'sum'), ['mean'], [['none', 'must be one of mean, sum, got "none"']]],
  signal: [
    kinds.signal,
    [signal, AbortSignal.timeout(1), AbortSignal.any([signal])],
    [
      [null, 'must be an AbortSignal, as new AbortController().signal is, got null'],
      [new AbortController(), 'must be an AbortSignal, as new AbortController().signal is, got AbortController'],
      [{ aborted: true }, 'must be an AbortSignal, as new AbortController().signal is, got Object'],
    ],
  ],
  record: [
    kinds.record('sizes by name', kinds.count(1)),
    [{}, { batch: 1 }],
    [
      [[], 'must be sizes by name, got Array'],
      [{ batch: 0 }, 'is wrong: batch must be a whole number of at least 1, got 0'],
      [{ batch: undefined }, 'is wrong: batch is required'],
    ],
  ],
  options: [
    part,
    [{ of: 1 }],
    [
      [3, 'is wrong: options must be an object, got 3 (known: of)'],
      [{}, 'is wrong: of is required'],
      [{ off: 1, of: 1 }, 'is wrong: unknown option "off", did you mean "of"? (known: of)'],
    ],
  ],
};

describe.each(Object.entries(table))('an option of the kind %s', (_, [kind, right, wrong]) => {
  it('may be left out, but where it is required', () => {
    expect(kind(undefined)).toBeUndefined();
    expect(kinds.required(kind)(undefined)).toBe('is required');
  });

  it('takes what it is for, and says what else is wrong', () => {
    for (const value of right) expect(kind(value)).toBeUndefined();
    for (const [value, problem] of wrong) expect(kind(value)).toBe(problem);
  });
});
