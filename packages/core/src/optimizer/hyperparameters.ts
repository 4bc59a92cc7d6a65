import { z } from 'zod';
import { AdakitError, closestName } from '../errors.js';

/** A numeric hyperparameter: an input of the program, so it may change every step. */
export interface NumberHyperparameter<Default extends number | undefined = number | undefined> {
  readonly type: 'number';
  readonly default: Default;
  /** Values accepted when an optimizer is made. */
  readonly atConstruction: z.ZodType<number>;
  /** Values accepted later, from a schedule or by hand: the same, but a learning rate may be zero for a while. */
  readonly perStep: z.ZodType<number>;
  /** Zero turns the term off: `uses.<name>` tells the rule, and the term costs nothing. */
  readonly offAtZero: boolean;
}

/** A boolean hyperparameter: part of the structure, so each value has its own program. */
export interface FlagHyperparameter {
  readonly type: 'flag';
  readonly default: boolean;
}

export type Hyperparameter = NumberHyperparameter | FlagHyperparameter;
export type HyperparameterDefinitions = Readonly<Record<string, Hyperparameter>>;

/** Values of all hyperparameters by name. */
export type HyperparameterValues = Readonly<Record<string, number | boolean>>;

/** Names of the numeric ones. */
export type NumericName<H extends HyperparameterDefinitions> = {
  [K in keyof H & string]: H[K] extends NumberHyperparameter ? K : never;
}[keyof H & string];

type RequiredName<H extends HyperparameterDefinitions> = {
  [K in keyof H & string]: H[K] extends NumberHyperparameter<undefined> ? K : never;
}[keyof H & string];

type ValueOf<H extends Hyperparameter> = H extends FlagHyperparameter ? boolean : number;

/** What a user passes: everything with a default is optional. */
export type HyperparameterOptions<H extends HyperparameterDefinitions> = {
  readonly [K in RequiredName<H>]: number;
} & { readonly [K in Exclude<keyof H & string, RequiredName<H>>]?: ValueOf<H[K]> };

interface Range {
  readonly above?: number;
  readonly atLeast?: number;
  readonly below?: number;
  /** Why the range is what it is; appended to the error message. */
  readonly because?: string;
}

const numberType = z.number({
  error: ({ input }) =>
    input === undefined
      ? 'is required: it has no default that suits every problem'
      : `must be a finite number, got ${describe(input)}`,
});

function inRange({ above, atLeast, below, because }: Range): z.ZodType<number> {
  const wanted = [
    above === undefined ? [] : [`> ${above}`],
    atLeast === undefined ? [] : [`>= ${atLeast}`],
    below === undefined ? [] : [`< ${below}`],
  ].flat();
  return numberType.refine(
    (x) =>
      (above === undefined || x > above) &&
      (atLeast === undefined || x >= atLeast) &&
      (below === undefined || x < below),
    {
      error: (issue) =>
        `must be ${wanted.join(' and ')}, got ${describe(issue.input)}${because === undefined ? '' : ` (${because})`}`,
    },
  );
}

function numeric<D extends number | undefined>(
  defaultValue: D,
  atConstruction: Range,
  { perStep = atConstruction, offAtZero = false }: { perStep?: Range; offAtZero?: boolean } = {},
): NumberHyperparameter<D> {
  return {
    type: 'number',
    default: defaultValue,
    atConstruction: inRange(atConstruction),
    perStep: inRange(perStep),
    offAtZero,
  };
}

interface RangeReason {
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

/** On or off. */
export function flag(defaultValue: boolean): FlagHyperparameter {
  return { type: 'flag', default: defaultValue };
}

/**
 * Completes and validates hyperparameters.
 *
 * @throws AdakitError naming every offending hyperparameter, e.g. `adam: lr must be > 0, got -1`
 */
export function parseHyperparameters(
  optimizer: string,
  definitions: HyperparameterDefinitions,
  given: Readonly<Record<string, unknown>>,
  when: 'atConstruction' | 'perStep',
): HyperparameterValues {
  const known = Object.keys(definitions);
  const unknown = Object.keys(given).filter((key) => !Object.hasOwn(definitions, key));
  if (unknown.length > 0) {
    const complaints = unknown.map((key) => {
      const suggestion = closestName(key, known);
      return `unknown hyperparameter "${key}"${suggestion === undefined ? '' : `, did you mean "${suggestion}"?`}`;
    });
    throw new AdakitError(
      'unknown-hyperparameter',
      `${optimizer}: ${complaints.join('; ')} (known: ${known.join(', ')})`,
    );
  }
  const schema = z.object(
    Object.fromEntries(Object.entries(definitions).map(([name, definition]) => [name, valueSchema(definition, when)])),
  );
  const result = schema.safeParse(given);
  if (result.success) return result.data;
  const complaints = result.error.issues.map((issue) => `${issue.path.join('.')} ${issue.message}`);
  throw new AdakitError('invalid-hyperparameter', `${optimizer}: ${complaints.join('; ')}`);
}

function valueSchema(definition: Hyperparameter, when: 'atConstruction' | 'perStep'): z.ZodType<number | boolean> {
  if (definition.type === 'flag') {
    return z
      .boolean({ error: (issue) => `must be true or false, got ${describe(issue.input)}` })
      .default(definition.default);
  }
  if (definition.default !== undefined) return definition[when].default(definition.default);
  return definition[when];
}

/**
 * Renames snake_case keys, as PyTorch and saved files write them, to this project's camelCase
 * (`weight_decay` → `weightDecay`). Other keys stay.
 *
 * @throws AdakitError when a name is given in both forms
 */
export function camelCaseKeys(optimizer: string, record: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(record)) {
    const camel = key.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
    if (Object.hasOwn(result, camel)) {
      throw new AdakitError(
        'invalid-hyperparameter',
        `${optimizer}: hyperparameter "${camel}" is given twice, as "${camel}" and in snake_case; keep one`,
      );
    }
    result[camel] = value;
  }
  return result;
}

function describe(value: unknown): string {
  return typeof value === 'string' ? JSON.stringify(value) : String(value);
}
