import { AdakitError } from '../errors.js';
import {
  deviceInput,
  Expression,
  hostInput,
  narrowed,
  repeated,
  watchConditions,
  type ExpressionNodeReference,
  type Scalar,
  type Tensor,
} from '../expression/expression.js';
import { equalShapes, isShape, shapeText, type Shape } from '../expression/type.js';
import type { Hyperparameter, HyperparameterDefinitions, HyperparameterValues } from '../optimizer/hyperparameters.js';
import { contentHash } from '../program/hash.js';
import { buildProgram, type Program } from '../program/program.js';
import type {
  Component,
  ComponentPrograms,
  ComponentSource,
  Inputs,
  ParameterForm,
  PhaseInput,
  Slot,
  SlotDType,
  SlotSource,
  Structure,
} from './component.js';

/** What an author wrote, as far as errors name it. */
interface Named {
  readonly name: string;
}

/** Where what a plain rule lacks is found. */
export const MORE = '; definePhasedOptimizer() has more';

const IDENTIFIER = /^[A-Za-z]\w*$/;

/** An output of a phase. */
export type Output = readonly [name: string, value: Tensor];

/** Phases by name; those that a component does not have are missing. */
export type Traced<Phase extends string = string> = Readonly<Record<Phase, Program | undefined>>;

/**
 * Makes a component of what its author wrote.
 *
 * @param trace makes its programs for one structure
 * @throws AdakitError `invalid-rule` for names that are no identifiers
 */
export function makeComponent<H extends HyperparameterDefinitions, S extends string, G extends string>(
  source: ComponentSource<H, S, G>,
  trace: (source: ComponentSource<H, S, G>, uses: Structure<H>, form: ParameterForm) => ComponentPrograms,
): Component {
  const { name, hyperparameters } = source;
  checkName('optimizer', name, source, /^[A-Za-z][\w-]*$/);
  // What is no TypeScript may give a number.
  for (const [key, definition] of Object.entries<Partial<Hyperparameter> | undefined>(hyperparameters)) {
    checkName('hyperparameter', key, source);
    if (!definition?.type) refuse(source, `${key} must be learningRate() or such`);
  }
  const known = new Map<string, ComponentPrograms>();
  return {
    name,
    hyperparameters,
    isRule: source.update !== undefined,
    programs(values, form) {
      const uses = structureOf(hyperparameters, values);
      const key = JSON.stringify([uses, form]);
      let programs = known.get(key);
      if (programs === undefined) known.set(key, (programs = naming(`${name}"`, () => trace(source, uses, form))));
      return programs;
    },
  };
}

/** The programs of a rule that does nothing but update. */
export function traceRule<H extends HyperparameterDefinitions, S extends string, G extends string>(
  source: ComponentSource<H, S, G>,
  uses: Structure<H>,
  form: ParameterForm,
): ComponentPrograms {
  const tracer = new Tracer(source, uses, form);
  const update = tracer.update();
  return tracer.programs({ update }, [...Array<undefined>(5), update, undefined]);
}

export function checkName(what: string, name: string, of: Named, form = IDENTIFIER): void {
  if (form.test(name)) return;
  refuse(
    of,
    `the ${what} name ${JSON.stringify(name)} must be letters, digits and _${form === IDENTIFIER ? '' : ' or -'}, a letter first`,
  );
}

/** @throws AdakitError `invalid-rule` */
export function refuse(source: Named | null | undefined, problem: string): never {
  throw new AdakitError('invalid-rule', `optimizer "${String(source?.name)}": ${problem}`);
}

/** Does what an author has written. @param whose the optimizer's name, a quote, and what of it, for errors */
function naming<T>(whose: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    const problem = error instanceof AdakitError ? error.message : String(error);
    if (problem.startsWith('optimizer "')) throw error;
    throw new AdakitError('invalid-rule', `optimizer "${whose}: ${problem}`, { cause: error });
  }
}

function structureOf<H extends HyperparameterDefinitions>(definitions: H, values: HyperparameterValues): Structure<H> {
  const uses = Object.entries(definitions).map(([key, definition]) => {
    const value = values[key];
    return [key, definition.type === 'number' ? !definition.offAtZero || value !== 0 : value] as const;
  });
  return Object.fromEntries(uses) as Structure<H>;
}

/** Runs the functions of a component once on symbolic inputs and linearizes what they return. */
export class Tracer<H extends HyperparameterDefinitions, S extends string, G extends string> {
  readonly source: ComponentSource<H, S, G>;
  readonly uses: Structure<H>;
  readonly form: ParameterForm;
  readonly slots: readonly Slot[];

  constructor(source: ComponentSource<H, S, G>, uses: Structure<H>, form: ParameterForm) {
    this.source = source;
    this.uses = uses;
    this.form = form;
    this.slots = (source.slots?.(this.known(uses, 'uses.'), this.known(form)) ?? []).map((slot) =>
      this.#slot(typeof slot === 'string' ? { name: slot } : slot),
    );
    this.checkNames('slot', this.slots);
  }

  /** What an author reads: unknown keys, in the records in it too, are an error rather than `undefined`. */
  known<T extends object>(record: T, of = '', hint = ` for ${JSON.stringify(this.uses)}`): T {
    return new Proxy(record, {
      get: (_, key) => {
        const value: unknown = record[key as keyof T];
        if (typeof key !== 'string') return value;
        if (!Object.hasOwn(record, key)) {
          const names = Object.keys(record).join(', ') || 'nothing';
          this.fail(`reads ${of}${key}, which does not exist; there is ${names}${hint}`);
        }
        return value?.constructor === Object ? this.known(value, `${key}.`) : value;
      },
    });
  }

  /** @throws AdakitError for names that are no identifiers, or given twice */
  checkNames(what: 'slot' | 'global', items: readonly { readonly name: string }[]): void {
    items.forEach(({ name }, i) => {
      checkName(what, name, this.source);
      if (items.findIndex((other) => other.name === name) !== i) this.fail(`${what}s() declares "${name}" twice`);
    });
  }

  update(): Program | undefined {
    return this.phase('update', 'param');
  }

  /** A phase that gives one value of the parameter's shape, and slots. */
  phase(phase: 'perturb' | 'gradient' | 'update', gives: 'param' | 'grad'): Program | undefined {
    const run = this.source[phase];
    return (
      run &&
      this.program(phase, () => {
        const given: unknown = run(this.inputs() as Inputs<H, S, G>);
        if (given instanceof Promise) this.fail(`${phase} is async`);
        const { [gives]: value, slots } = (given ?? {}) as {
          readonly [name in 'param' | 'grad']?: Tensor;
        } & { readonly slots?: { readonly [K in S]?: Tensor } };
        return [this.output(phase, gives, value, 'param'), ...this.slotOutputs(slots)];
      })
    );
  }

  /**
   * What the traced phases make together.
   *
   * @param all programs in the order in which they count for the hash
   * @param globals as text, which counts as well
   */
  programs<P>(
    phases: P,
    all: readonly (Program | undefined)[],
    globals: readonly string[] = [],
  ): P & Pick<ComponentPrograms, 'slots' | 'hash'> {
    for (const { name } of this.slots) {
      // A slot that nothing ever sets is a slip: keep it out, or return it.
      if (all.every((program) => program?.outputs[`slot.${name}`] === undefined)) {
        this.fail(`must return an expression for the slot "${name}"`);
      }
    }
    const hashes = all.map((program) => program?.hash ?? '');
    const kept = this.slots.map(({ name, shape, dtype, start }) =>
      [name, shapeText(shape), dtype, typeof start === 'number' ? start : start.hash].join(' '),
    );
    return { ...phases, slots: this.slots, hash: contentHash(JSON.stringify([hashes, kept, globals])) };
  }

  fail(problem: string): never {
    refuse(this.source, problem);
  }

  #slot({ name, shape = 'param', dtype = 'float32', start = 0, meaning }: SlotSource): Slot {
    if (!this.form.matrix && /rank/.test(String(shape))) {
      this.fail(`the slot "${name}" is ${shapeText(shape)}, which is for matrices alone (form.matrix)`);
    }
    if (!isShape(shape)) this.fail(`the slot "${name}" has the shape ${String(shape)}`);
    if (dtype !== 'float32' && !(dtype as Partial<typeof dtype> | null)?.round) {
      this.fail(`the slot "${name}" has a ${typeof dtype} as its dtype`);
    }
    if (typeof start === 'number') {
      const number = dtype === 'float32' ? start : dtype.round(start);
      if (!Number.isFinite(number)) this.fail(`the slot "${name}" starts at ${number}`);
      return { name, shape, dtype, start: number, meaning };
    }
    const param = deviceInput('param', 'param');
    const value = start === 'param' ? param : start(this.known({ param }));
    const [, given] = this.output('the start of a slot', `slot ${name}`, value, shape);
    const program = buildProgram(`${this.source.name} start of ${name}`, { start: fitted(given, dtype) });
    return { name, shape, dtype, start: program, meaning };
  }

  program(phase: string, outputs: () => readonly (readonly [string, ExpressionNodeReference])[]): Program {
    const { name } = this.source;
    return naming(`${name}", ${phase}`, () =>
      buildProgram(`${name}.${phase}`, Object.fromEntries(watchConditions(outputs))),
    );
  }

  /** What a rule reads that does nothing but update. */
  inputs(): Omit<Inputs<H, S, G>, PhaseInput> {
    return this.known({ grad: deviceInput('grad', 'param'), ...this.values() }, '', MORE);
  }

  /** The same without the gradient. */
  values(): Omit<Inputs<H, S, G>, 'grad' | PhaseInput> {
    const slots = this.slots.map(({ name, shape }) => [name, deviceInput(`slot.${name}`, shape)]);
    return {
      param: deviceInput('param', 'param'),
      slots: Object.fromEntries(slots) as Record<S, Tensor>,
      ...this.hostInputs(),
      ...hostInputs('rows', 'cols', 'size', 'key', 'samples', 'allSamples', 'lossScale'),
      ...this.form,
    };
  }

  hostInputs(): Pick<Inputs<H, S, G>, 'hyper' | 'initial' | 'uses' | 'step'> {
    const { hyperparameters } = this.source;
    const numeric = Object.keys(hyperparameters).filter((key) => hyperparameters[key].type === 'number');
    const scalars = (kind: 'hyper' | 'initial'): Inputs<H, S, G>['hyper'] =>
      Object.fromEntries(numeric.map((key) => [key, hostInput(`${kind}.${key}`)])) as Inputs<H, S, G>['hyper'];
    return { hyper: scalars('hyper'), initial: scalars('initial'), uses: this.uses, ...hostInputs('step') };
  }

  output(phase: string, name: string, value: unknown, shape: Shape): readonly [name: string, value: Tensor] {
    if (!(value instanceof Expression)) this.fail(`${phase} must return an expression for ${name}`);
    const { type } = value as Tensor;
    const fits = equalShapes(type.shape, shape);
    if (!fits && type.shape !== 'number') {
      this.fail(`${phase} returns ${shapeText(type.shape)} for ${name}, which is ${shapeText(shape)}`);
    }
    // Devices need not know what an output is to find out how often a single number is meant.
    return [name, fits && type.place === 'device' ? (value as Tensor) : repeated(value as Tensor, shape)];
  }

  slotOutputs(slots: { readonly [K in S]?: Tensor } = {}) {
    return Object.entries(slots).map(([key, value]) => {
      const slot = this.slots.find(({ name }) => name === key);
      if (slot === undefined) return this.fail(`returns the slot "${key}", which slots() does not declare`);
      // A slot of a narrow format holds what fits in it, on every device alike.
      const [name, given] = this.output('a phase', `slot.${key}`, value, slot.shape);
      return [name, fitted(given, slot.dtype)] as const;
    });
  }
}

function fitted(value: Tensor, dtype: SlotDType): Tensor {
  return dtype === 'float32' ? value : narrowed(value, dtype);
}

/** Inputs by their own names. */
function hostInputs<Name extends string>(...names: readonly Name[]): Readonly<Record<Name, Scalar>> {
  return Object.fromEntries(names.map((name) => [name, hostInput(name)])) as Record<Name, Scalar>;
}
