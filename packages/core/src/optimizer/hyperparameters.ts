import { shown } from '../errors.js';
import { rangeProblem } from './hyperparameter-values.js';

/** A numeric hyperparameter: an input of the program, so it may change every step. */
export interface NumberHyperparameter<Default extends number | undefined = number | undefined> {
  readonly type: 'number';
  readonly default: Default;
  /** Values accepted when an optimizer is made. */
  readonly atConstruction: Range;
  /** Values accepted later, from a schedule or by hand: the same, but a learning rate may be zero for a while. */
  readonly perStep: Range;
  /** Zero turns the term off: `uses.<name>` tells the rule, and the term costs nothing. */
  readonly offAtZero: boolean;
}

/** A boolean hyperparameter: part of the structure, so each value has its own program. */
export interface FlagHyperparameter {
  readonly type: 'flag';
  readonly default: boolean;
}

/** A word out of several: part of the structure. */
export interface ChoiceHyperparameter<Word extends string = string> {
  readonly type: 'choice';
  readonly default: Word;
  readonly words: readonly Word[];
  /** What is wrong with a value, or `undefined`. It brings this, so that rules without choices need not load it. */
  readonly problem: (value: unknown) => string | undefined;
}

/** A whole number that shapes the program, such as how often something is repeated: part of the structure. */
export interface RepeatHyperparameter {
  readonly type: 'repeat';
  readonly default: number;
  readonly range: Range;
  /** What is wrong with a value in the place of the one that the optimizer was made with, or `undefined`. */
  readonly problem: (value: unknown, initial: unknown) => string | undefined;
}

/** One hyperparameter, as {@link learningRate}, {@link flag} and their like make it. */
export type Hyperparameter = NumberHyperparameter | FlagHyperparameter | ChoiceHyperparameter | RepeatHyperparameter;

/** What a rule or a wrapper declares: its hyperparameters by name, each with its range and default. */
export type HyperparameterDefinitions = Readonly<Record<string, Hyperparameter>>;

/** Values of all hyperparameters by name. */
export type HyperparameterValues = Readonly<Record<string, number | boolean | string>>;

/** Names of the numeric ones. */
export type NumericName<H extends HyperparameterDefinitions> = {
  [K in keyof H & string]: H[K] extends NumberHyperparameter ? K : never;
}[keyof H & string];

type RequiredName<H extends HyperparameterDefinitions> = {
  [K in keyof H & string]: H[K] extends NumberHyperparameter<undefined> ? K : never;
}[keyof H & string];

type ValueOf<H extends Hyperparameter> = H extends FlagHyperparameter
  ? boolean
  : H extends ChoiceHyperparameter<infer Word>
    ? Word
    : number;

/** What a user passes: everything with a default is optional. */
export type HyperparameterOptions<H extends HyperparameterDefinitions> = {
  readonly [K in RequiredName<H>]: number;
} & { readonly [K in Exclude<keyof H & string, RequiredName<H>>]?: ValueOf<H[K]> };

/** Accepted values of a number. */
export interface Range {
  readonly above?: number;
  readonly atLeast?: number;
  readonly below?: number;
  readonly atMost?: number;
  readonly integer?: true;
  /** Why the range is what it is; appended to the error message. */
  readonly because?: string;
}

function numeric<D extends number | undefined>(
  defaultValue: D,
  atConstruction: Range,
  { perStep = atConstruction, offAtZero = false }: { perStep?: Range; offAtZero?: boolean } = {},
): NumberHyperparameter<D> {
  return { type: 'number', default: defaultValue, atConstruction, perStep, offAtZero };
}

/** Why a range is as it is. */
export interface RangeReason {
  /** Appended to the error for a value outside. */
  readonly because?: string;
}

/** Step size; must be > 0 when the optimizer is made, may be 0 at a step (warm-up). Without a default it is required. */
export function learningRate(): NumberHyperparameter<undefined>;
export function learningRate(defaultValue: number, reason?: RangeReason): NumberHyperparameter<number>;
export function learningRate(defaultValue?: number, reason?: RangeReason): NumberHyperparameter {
  return numeric(defaultValue, { above: 0, ...reason }, { perStep: { atLeast: 0 } });
}

/** Decay of a moving average, in [0, 1). With `positive`, in (0, 1), giving the reason. */
export function decayRate(defaultValue: number, positive?: { readonly because: string }): NumberHyperparameter<number> {
  return numeric(defaultValue, { ...(positive ? { above: 0, ...positive } : { atLeast: 0 }), below: 1 });
}

/** Small constant against division by zero; ≥ 0. */
export function epsilon(defaultValue: number): NumberHyperparameter<number> {
  return numeric(defaultValue, { atLeast: 0 });
}

/** Any number > 0. */
export function positive(defaultValue: number, reason?: RangeReason): NumberHyperparameter<number> {
  return numeric(defaultValue, { above: 0, ...reason });
}

/** Any number ≥ 0, always part of the computation. */
export function nonNegative(defaultValue: number): NumberHyperparameter<number> {
  return numeric(defaultValue, { atLeast: 0 });
}

/** A factor ≥ 0 whose zero turns its term off (weight decay, momentum): `uses.<name>` says which. */
export function coefficient(defaultValue: number): NumberHyperparameter<number> {
  return numeric(defaultValue, { atLeast: 0 }, { offAtZero: true });
}

/** Any finite number. */
export function anyNumber(defaultValue: number): NumberHyperparameter<number> {
  return numeric(defaultValue, {});
}

/** A whole number ≥ `least`. */
export function count(defaultValue: number, least = 1): NumberHyperparameter<number> {
  return numeric(defaultValue, { atLeast: least, integer: true });
}

/** A number in [0, 1]. */
export function fraction(defaultValue: number): NumberHyperparameter<number> {
  return numeric(defaultValue, { atLeast: 0, atMost: 1 });
}

/** One of several words; the rule sees it as `uses.<name>`. The first is the default. */
export function choice<const Word extends string>(first: Word, ...others: readonly Word[]): ChoiceHyperparameter<Word> {
  const words = [first, ...others];
  const problem = (value: unknown): string | undefined =>
    words.includes(value as Word) ? undefined : `must be one of ${words.join(', ')}, got ${shown(value)}`;
  return { type: 'choice', default: first, words, problem };
}

/** How often something in the rule is repeated, a whole number in [`least`, `most`]; the rule sees it as `uses.<name>`. */
export function repeats(defaultValue: number, least = 1, most = 100): RepeatHyperparameter {
  const range: Range = { atLeast: least, atMost: most, integer: true };
  return { type: 'repeat', default: defaultValue, range, problem: (value) => rangeProblem(range, value) };
}

/**
 * The rank of a low-rank matrix, a whole number ≥ 1; the rule sees it as `uses.<name>`, and its slots have it as an extent,
 * `` [`rank ${uses.rank}`] ``. It stays what it was when the optimizer was made.
 */
export function rank(defaultValue: number): RepeatHyperparameter {
  const range: Range = { atLeast: 1, integer: true };
  const changed = (value: unknown, initial: unknown): string | undefined =>
    value === initial
      ? undefined
      : `is ${String(initial)} since the optimizer was made, got ${String(value)} (slots have its extent)`;
  return {
    type: 'repeat',
    default: defaultValue,
    range,
    problem: (value, initial) => rangeProblem(range, value) ?? changed(value, initial),
  };
}

/** On or off. */
export function flag(defaultValue: boolean): FlagHyperparameter {
  return { type: 'flag', default: defaultValue };
}
