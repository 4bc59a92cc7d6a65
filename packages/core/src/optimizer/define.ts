import { AdakitError } from '../errors.js';
import { Expression, input, type ExpressionNode, type Scalar, type Tensor } from '../expression/expression.js';
import { buildProgram, type Program, type Slot } from '../program/program.js';
import {
  camelCaseKeys,
  parseHyperparameters,
  type HyperparameterDefinitions,
  type HyperparameterOptions,
  type HyperparameterValues,
  type NumericName,
} from './hyperparameters.js';
import { Optimizer, type OptimizerDefinition } from './optimizer.js';

/**
 * Which parts of the rule are switched on: every flag, and for every hyperparameter that is off at zero
 * ({@link coefficient}) whether it is on. Decided before the rule is traced, so plain `if`s may depend on it.
 */
export type Structure<H extends HyperparameterDefinitions> = { readonly [K in keyof H & string]: boolean };

/** What an update rule reads. */
export interface UpdateInputs<H extends HyperparameterDefinitions, S extends string> {
  /** The parameter θ before the step. */
  readonly param: Tensor;
  /** The gradient g of the loss at θ. */
  readonly grad: Tensor;
  /** The slots before the step. */
  readonly slots: Readonly<Record<S, Tensor>>;
  /** The numeric hyperparameters at this step. */
  readonly hyper: { readonly [K in NumericName<H>]: Scalar };
  /** The numeric hyperparameters as they were when the optimizer was made (saved with the state). */
  readonly initial: { readonly [K in NumericName<H>]: Scalar };
  readonly uses: Structure<H>;
  /** Number of this step, counted from 1. */
  readonly step: Scalar;
}

export interface UpdateOutputs<S extends string> {
  /** The parameter after the step. */
  readonly param: Tensor;
  /** The new value of every declared slot. */
  readonly slots?: { readonly [K in S]?: Tensor };
}

/** An optimizer as its author writes it: data and two pure functions. */
export interface OptimizerSource<H extends HyperparameterDefinitions, S extends string> {
  /** Lower-case identifier, e.g. `adabelief`; saved with the state. */
  readonly name: string;
  readonly hyperparameters: H;
  /** The tensors kept per parameter; a bare name starts at zero. */
  readonly slots: (uses: Structure<H>) => readonly (S | Slot<S>)[];
  /** The rule. It is traced once per structure: it must be pure and may not look at values. */
  readonly update: (inputs: UpdateInputs<H, S>) => UpdateOutputs<S>;
}

/** Makes configured optimizers: `adam({ lr: 1e-3 })`. */
export interface OptimizerFactory<H extends HyperparameterDefinitions> {
  (
    ...options: Record<string, never> extends HyperparameterOptions<H>
      ? [HyperparameterOptions<H>?]
      : [HyperparameterOptions<H>]
  ): Optimizer;
  /** The optimizer's identifier. */
  readonly optimizerName: string;
  readonly hyperparameters: H;
  /** Like calling the factory, for hyperparameters from a file: snake_case names are accepted as well. */
  load(record: Readonly<Record<string, unknown>>): Optimizer;
}

/**
 * Defines an optimizer.
 *
 * @example
 * ```ts
 * export const sgd = defineOptimizer({
 *   name: 'sgd',
 *   hyperparameters: { lr: learningRate() },
 *   slots: () => [],
 *   update: ({ param, grad, hyper }) => ({ param: param.sub(grad.mul(hyper.lr)) }),
 * });
 * ```
 */
export function defineOptimizer<const H extends HyperparameterDefinitions, const S extends string>(
  source: OptimizerSource<H, S>,
): OptimizerFactory<H> {
  const { name, hyperparameters: definitions } = source;
  const programs = new Map<string, Program>();

  const definition: OptimizerDefinition = {
    name,
    hyperparameters: definitions,
    program(values) {
      const uses = structureOf(definitions, values);
      const key = JSON.stringify(uses);
      let program = programs.get(key);
      if (program === undefined) programs.set(key, (program = trace(source, uses)));
      return program;
    },
  };

  const make = (given: Readonly<Record<string, unknown>> = {}): Optimizer =>
    new Optimizer(definition, {
      hyperparameters: parseHyperparameters(name, definitions, given, 'atConstruction'),
    });

  return Object.defineProperty(
    Object.assign((...[options]: [Readonly<Record<string, unknown>>?]) => make(options), {
      optimizerName: name,
      hyperparameters: definitions,
      load: (record: Readonly<Record<string, unknown>>) => make(camelCaseKeys(name, record)),
    }),
    'name',
    { value: name },
  );
}

function structureOf<H extends HyperparameterDefinitions>(definitions: H, values: HyperparameterValues): Structure<H> {
  const uses = Object.entries(definitions).map(([key, definition]) => {
    const value = values[key];
    return [key, definition.type === 'flag' ? value === true : !definition.offAtZero || value !== 0] as const;
  });
  return Object.fromEntries(uses) as Structure<H>;
}

/** Runs the rule once on symbolic inputs and linearizes what it returns. */
function trace<H extends HyperparameterDefinitions, S extends string>(
  source: OptimizerSource<H, S>,
  uses: Structure<H>,
): Program {
  const { name } = source;
  const fail = (problem: string): never => {
    throw new AdakitError('invalid-rule', `optimizer "${name}": ${problem}`);
  };
  const slots = source
    .slots(uses)
    .map((slot): Slot<S> => (typeof slot === 'string' ? { name: slot, initial: 0 } : slot))
    .map(({ name, initial }) => ({ name, initial }));
  slots.forEach((slot, i) => {
    if (slots.findIndex((other) => other.name === slot.name) !== i) fail(`slots() declares "${slot.name}" twice`);
  });
  const numeric = Object.keys(source.hyperparameters).filter((key) => source.hyperparameters[key].type === 'number');

  const outputs = source.update({
    param: input('param', 'tensor'),
    grad: input('grad', 'tensor'),
    slots: known(
      slots.map((slot) => [slot.name, input(`slot.${slot.name}`, 'tensor')]),
      (key) => fail(`update reads the slot "${key}", which slots() does not declare for ${JSON.stringify(uses)}`),
    ),
    hyper: known(
      numeric.map((key) => [key, input(`hyper.${key}`, 'scalar')]),
      (key) => fail(`update reads hyper.${key}, which is not a numeric hyperparameter`),
    ),
    initial: known(
      numeric.map((key) => [key, input(`initial.${key}`, 'scalar')]),
      (key) => fail(`update reads initial.${key}, which is not a numeric hyperparameter`),
    ),
    uses,
    step: input('step', 'scalar'),
  });

  const nodeOf = (what: string, value: unknown): ExpressionNode =>
    value instanceof Expression ? value.node : fail(`update must return an expression for ${what}`);
  const returned = (outputs.slots ?? {}) as Readonly<Partial<Record<S, Tensor>>>;
  for (const key of Object.keys(returned)) {
    if (!slots.some((slot) => slot.name === key))
      fail(`update returns the slot "${key}", which slots() does not declare`);
  }
  return buildProgram(name, slots, {
    param: nodeOf('param', outputs.param),
    slots: slots.map((slot) => nodeOf(`the slot "${slot.name}"`, returned[slot.name])),
  });
}

/** A record whose unknown keys are an error rather than `undefined`. */
function known<Key extends string, Value>(
  entries: readonly (readonly [string, Value])[],
  onUnknown: (key: string) => never,
): Readonly<Record<Key, Value>> {
  return new Proxy(Object.fromEntries(entries) as Record<Key, Value>, {
    get: (record, key) => (typeof key === 'symbol' || Object.hasOwn(record, key) ? record[key as Key] : onUnknown(key)),
  });
}
