import { AdakitError, didYouMean, shown } from '../errors.js';

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
}

/** A whole number that shapes the program, such as how often something is repeated: part of the structure. */
export interface RepeatHyperparameter {
  readonly type: 'repeat';
  readonly default: number;
  readonly range: Range;
  /** What is wrong with another value than the optimizer was made with. Missing where nothing is. */
  readonly changed?: (value: number, initial: unknown) => string;
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

/** What is wrong with a value, or `undefined`. */
function rangeProblem(range: Range, value: unknown): string | undefined {
  if (value === undefined) return 'is required: it has no default that suits every problem';
  if (typeof value !== 'number' || !Number.isFinite(value)) return `must be a finite number, got ${shown(value)}`;
  const { above, atLeast, below, atMost, integer, because } = range;
  const inside =
    (!integer || Number.isSafeInteger(value)) &&
    value > (above ?? -Infinity) &&
    value >= (atLeast ?? -Infinity) &&
    value < (below ?? Infinity) &&
    value <= (atMost ?? Infinity);
  if (inside) return undefined;
  const bounds = Object.entries({ '>': above, '>=': atLeast, '<': below, '<=': atMost });
  const wanted = bounds.flatMap(([sign, bound]) => (bound === undefined ? [] : [`${sign} ${bound}`]));
  return `must be ${[...(integer ? ['a whole number'] : []), ...wanted].join(' and ')}, got ${shown(value)}${because === undefined ? '' : ` (${because})`}`;
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
export function learningRate(defaultValue?: number, reason: RangeReason = {}): NumberHyperparameter {
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
export function positive(defaultValue: number, reason: RangeReason = {}): NumberHyperparameter<number> {
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
  return { type: 'choice', default: first, words: [first, ...others] };
}

/** How often something in the rule is repeated, a whole number in [`least`, `most`]; the rule sees it as `uses.<name>`. */
export function repeats(defaultValue: number, least = 1, most = 100): RepeatHyperparameter {
  return { type: 'repeat', default: defaultValue, range: { atLeast: least, atMost: most, integer: true } };
}

/**
 * The rank of a low-rank matrix, a whole number ≥ 1; the rule sees it as `uses.<name>`, and its slots have it as an extent,
 * `` [`rank ${uses.rank}`] ``. It stays what it was when the optimizer was made.
 */
export function rank(defaultValue: number): RepeatHyperparameter {
  const changed = (value: number, initial: unknown): string =>
    `is ${String(initial)} since the optimizer was made, got ${value} (slots have its extent)`;
  return { type: 'repeat', default: defaultValue, range: { atLeast: 1, integer: true }, changed };
}

/** On or off. */
export function flag(defaultValue: boolean): FlagHyperparameter {
  return { type: 'flag', default: defaultValue };
}

/**
 * Completes and validates hyperparameters.
 *
 * @param initial what the optimizer was made with, of which some must stay. Default: it is being made
 * @throws AdakitError naming every offending hyperparameter, e.g. `adam: lr must be > 0, got -1`
 */
export function parseHyperparameters(
  optimizer: string,
  definitions: HyperparameterDefinitions,
  given: Readonly<Record<string, unknown>>,
  when: 'atConstruction' | 'perStep',
  initial: HyperparameterValues = {},
): HyperparameterValues {
  if (Object(given) !== given) {
    // As in `adam(0.001)`, which would otherwise train with the default.
    const problem = `hyperparameters are an object such as { lr: 0.1 }, got ${shown(given)}`;
    throw new AdakitError('invalid-hyperparameter', `${optimizer}: ${problem}`);
  }
  const known = Object.keys(definitions);
  const unknown = Object.keys(given).filter((key) => !Object.hasOwn(definitions, key));
  if (unknown.length > 0) {
    const complaints = unknown.map((key) => `unknown hyperparameter "${key}"${didYouMean(key, known)}`);
    throw new AdakitError(
      'unknown-hyperparameter',
      `${optimizer}: ${complaints.join('; ')} (known: ${known.join(', ')})`,
    );
  }
  const values: Record<string, number | boolean | string> = {};
  const complaints: string[] = [];
  for (const [name, definition] of Object.entries(definitions)) {
    const own = Object.hasOwn(given, name) ? given[name] : undefined;
    const value = own === undefined ? definition.default : own;
    const problem = problemOf(definition, value, when, initial[name]);
    if (problem === undefined) values[name] = value as number | boolean | string;
    else complaints.push(`${name} ${problem}`);
  }
  if (complaints.length === 0) return values;
  throw new AdakitError('invalid-hyperparameter', `${optimizer}: ${complaints.join('; ')}`);
}

/** What is wrong with a value, or `undefined`. */
export function problemOf(
  definition: Hyperparameter,
  value: unknown,
  when: 'atConstruction' | 'perStep',
  initial = value,
): string | undefined {
  switch (definition.type) {
    case 'number':
      return rangeProblem(definition[when], value);
    case 'repeat':
      return (
        rangeProblem(definition.range, value) ??
        (value === initial ? undefined : definition.changed?.(value as number, initial))
      );
    case 'flag':
      return typeof value === 'boolean' ? undefined : `must be true or false, got ${shown(value)}`;
    case 'choice':
      return definition.words.includes(value as string)
        ? undefined
        : `must be one of ${definition.words.join(', ')}, got ${shown(value)}`;
  }
}
