import { kindOf } from './errors.js';
import { rangeProblem } from './optimizer/hyperparameter-values.js';
import type { Range } from './optimizer/hyperparameters.js';
import { optionsProblem, type OptionKind } from './options.js';

// Kinds of options. Each may be left out, but for those that are required.

/** What `holds` accepts. @param what it must be, for messages */
export const kind =
  (what: string, holds: (value: unknown) => boolean): OptionKind =>
  (value) =>
    value === undefined || holds(value) ? undefined : `must be ${what}, got ${kindOf(value)}`;

/** What is looked at elsewhere. */
export const anything: OptionKind = () => undefined;

/** True or false. */
export const flag = /* @__PURE__ */ kind('true or false', (value) => typeof value === 'boolean');
/** Words, of any length. */
export const text = /* @__PURE__ */ kind('text', (value) => typeof value === 'string');
/** What can be called. */
export const callable = /* @__PURE__ */ kind('a function', (value) => typeof value === 'function');
/** An object that is no list. */
export const object = /* @__PURE__ */ kind('an object', isObject);
/** A list of anything. */
export const list = /* @__PURE__ */ kind('a list', Array.isArray);
/** Names, of which there may be none. */
export const names = /* @__PURE__ */ kind(
  'a list of names',
  (value) => Array.isArray(value) && value.every((name) => typeof name === 'string'),
);

/** Finite numbers, in a list or an array of numbers. */
export const numbers = /* @__PURE__ */ kind(
  'a list of numbers',
  (value) => (Array.isArray(value) || ArrayBuffer.isView(value)) && Array.from(value as []).every(Number.isFinite),
);

/** Any number, NaN and infinities included. */
export const number = /* @__PURE__ */ kind('a number', (value) => typeof value === 'number');
/** How much of something there may be: `Infinity` is no limit. */
export const limit = /* @__PURE__ */ kind('a number above 0', (value) => typeof value === 'number' && value > 0);
/** A finite number. */
export const within =
  (range: Range = {}): OptionKind =>
  (value) =>
    value === undefined ? undefined : rangeProblem(range, value);
/** A whole number. */
export const count = (least = 0): OptionKind =>
  kind(`a whole number of at least ${least}`, (value) => Number.isSafeInteger(value) && Number(value) >= least);
/** Of what is drawn. */
export const seed = /* @__PURE__ */ kind(
  'a whole number in [0, 2³²)',
  (value) => Number.isInteger(value) && Number(value) >= 0 && Number(value) < 2 ** 32,
);

export const oneOf = (...words: readonly unknown[]): OptionKind =>
  kind(`one of ${words.join(', ')}`, (value) => words.includes(value));

/** One of another realm is a signal, too. */
export const signal = /* @__PURE__ */ kind('an AbortSignal, as new AbortController().signal is', (value) => {
  const { aborted, addEventListener } = Object(value) as Partial<AbortSignal>;
  return typeof aborted === 'boolean' && typeof addEventListener === 'function';
});

/** An object by whose names there are values of a kind. @param what it must be, for messages */
export const record =
  (what: string, of: OptionKind): OptionKind =>
  (value) => {
    if (!isObject(value)) return kind(what, isObject)(value);
    for (const [name, each] of Object.entries(value)) {
      const problem = required(of)(each);
      if (problem !== undefined) return `is wrong: ${name} ${problem}`;
    }
    return undefined;
  };

/** Options in an option. */
export const options =
  (known: Readonly<Record<string, OptionKind>>): OptionKind =>
  (value) => {
    const problem = value === undefined ? undefined : optionsProblem(value, known);
    return problem && `is wrong: ${problem}`;
  };

/** What must be given. */
export const required =
  (of: OptionKind): OptionKind =>
  (value) =>
    value === undefined ? 'is required' : of(value);

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
