import { AdakitError } from '../errors.js';
import {
  broadcast,
  cast,
  deviceInput,
  Expression,
  hostInput,
  watchConditions,
  type ExpressionNodeReference,
  type Tensor,
} from '../expression/expression.js';
import { equalShapes, shapeText, type Shape } from '../expression/type.js';
import type { HyperparameterDefinitions, HyperparameterValues } from '../optimizer/hyperparameters.js';
import { contentHash } from '../program/hash.js';
import { buildProgram, type Program } from '../program/program.js';
import { roundTo } from '../tensor/narrow.js';
import type {
  Component,
  ComponentPrograms,
  ComponentSource,
  GlobalSource,
  Inputs,
  ParameterForm,
  Slot,
  SlotDType,
  SlotSource,
  Structure,
  TotalInputs,
} from './component.js';

const IDENTIFIER = /^[A-Za-z][A-Za-z0-9_]*$/;

/** Makes a component of what its author wrote. @throws AdakitError `invalid-rule` for names that are no identifiers */
export function makeComponent<H extends HyperparameterDefinitions, S extends string, G extends string>(
  source: ComponentSource<H, S, G>,
): Component {
  const { name, hyperparameters } = source;
  checkName('optimizer', name, name, /^[A-Za-z][A-Za-z0-9_-]*$/);
  for (const key of Object.keys(hyperparameters)) checkName('hyperparameter', key, name);
  const known = new Map<string, ComponentPrograms>();
  return {
    name,
    hyperparameters,
    isRule: source.update !== undefined,
    scalesLoss: source.scalesLoss === true,
    programs(values, form) {
      const uses = structureOf(hyperparameters, values);
      const key = JSON.stringify([uses, form.matrix, form.units, form.wide, form.role]);
      let programs = known.get(key);
      if (programs === undefined) known.set(key, (programs = new Tracer(source, uses, form).programs()));
      return programs;
    },
  };
}

function checkName(what: string, name: string, of: string, form = IDENTIFIER): void {
  if (form.test(name)) return;
  throw new AdakitError(
    'invalid-rule',
    `optimizer ${JSON.stringify(of)}: the ${what} name ${JSON.stringify(name)} is no identifier (letters, digits and _, a letter first); ` +
      'states name their tensors by it',
  );
}

function structureOf<H extends HyperparameterDefinitions>(definitions: H, values: HyperparameterValues): Structure<H> {
  const uses = Object.entries(definitions).map(([key, definition]) => {
    const value = values[key];
    return [key, definition.type === 'number' ? !definition.offAtZero || value !== 0 : value] as const;
  });
  return Object.fromEntries(uses) as Structure<H>;
}

/** Runs the functions of a component once on symbolic inputs and linearizes what they return. */
class Tracer<H extends HyperparameterDefinitions, S extends string, G extends string> {
  readonly #source: ComponentSource<H, S, G>;
  readonly #uses: Structure<H>;
  readonly #form: ParameterForm;
  readonly #slots: readonly Slot[];
  readonly #globals: readonly GlobalSource<G>[];

  constructor(source: ComponentSource<H, S, G>, uses: Structure<H>, form: ParameterForm) {
    this.#source = source;
    this.#uses = uses;
    this.#form = form;
    this.#slots = this.#unique(
      'slots()',
      (source.slots?.(uses, form) ?? []).map((slot) => this.#slot(typeof slot === 'string' ? { name: slot } : slot)),
    );
    this.#globals = this.#unique(
      'globals()',
      (source.globals?.(uses) ?? []).map((global) => (typeof global === 'string' ? { name: global } : global)),
    );
  }

  programs(): ComponentPrograms {
    const { measure, total, collect, perturb, gradient, update, after, views = {} } = this.#source;
    const param = deviceInput('param', 'param');
    const inputs = this.#inputs(param);
    const programs = {
      measure:
        measure &&
        this.#program('measure', () => {
          const { sums = {}, largest = {}, slots } = measure(inputs);
          return [...this.#numbers('sum', sums), ...this.#numbers('largest', largest), ...this.#slotOutputs(slots)];
        }),
      total: total && this.#program('total', () => this.#globalOutputs(total(this.#totalInputs()))),
      collect: collect && this.#program('collect', () => this.#slotOutputs(collect(inputs).slots)),
      perturb:
        perturb &&
        this.#program('perturb', () => {
          const { param, slots } = perturb(inputs);
          return [this.#output('perturb', 'param', param, 'param'), ...this.#slotOutputs(slots)];
        }),
      gradient:
        gradient &&
        this.#program('gradient', () => {
          const { grad, slots } = gradient(inputs);
          return [this.#output('gradient', 'grad', grad, 'param'), ...this.#slotOutputs(slots)];
        }),
      update:
        update &&
        this.#program('update', () => {
          const { param, slots } = update(inputs);
          return [this.#output('update', 'param', param, 'param'), ...this.#slotOutputs(slots)];
        }),
      after:
        after &&
        this.#program('after', () => {
          const { param, slots } = after({ ...inputs, before: deviceInput('before', 'param') });
          return [
            ...(param === undefined ? [] : [this.#output('after', 'param', param, 'param')]),
            ...this.#slotOutputs(slots),
          ];
        }),
    };
    this.#checkSlotsAreUpdated(Object.values(programs));
    const viewPrograms = Object.fromEntries(
      Object.entries(views).map(([view, give]) => [
        view,
        this.#program(`view ${view}`, () => [this.#output(`the view ${view}`, 'view', give(inputs), 'param')]),
      ]),
    );
    const hashes = [...Object.values(programs), ...Object.values(viewPrograms)].map((program) => program?.hash ?? '');
    const kept = this.#slots.map(({ name, shape, dtype, start }) =>
      [name, shapeText(shape), dtype, typeof start === 'number' ? start : start.hash].join(' '),
    );
    const globals = this.#globals.map(({ name, start = 0 }) => `${name} ${start}`);
    return {
      ...programs,
      slots: this.#slots,
      globals: this.#globals,
      views: viewPrograms,
      hash: contentHash(JSON.stringify([hashes, kept, globals])),
    };
  }

  #fail(problem: string): never {
    throw new AdakitError('invalid-rule', `optimizer "${this.#source.name}": ${problem}`);
  }

  #slot({ name, shape = 'param', dtype = 'float32', start = 0, meaning }: SlotSource): Slot {
    checkName('slot', name, this.#source.name);
    const make = (): ExpressionNodeReference => {
      const param = deviceInput('param', 'param');
      const value = typeof start === 'function' ? start({ param }) : param;
      return narrowed(this.#output('the start of a slot', `slot ${name}`, value, shape)[1], dtype);
    };
    if (typeof start !== 'number') {
      const program = buildProgram(`${this.#source.name} start of ${name}`, { start: make() });
      return { name, shape, dtype, start: program, meaning };
    }
    const number = dtype === 'float32' ? start : roundTo(dtype, start);
    if (!Number.isFinite(number)) this.#fail(`the slot "${name}" starts at ${number}`);
    return { name, shape, dtype, start: number, meaning };
  }

  #unique<T extends { readonly name: string }>(where: string, items: readonly T[]): readonly T[] {
    items.forEach(({ name }, i) => {
      checkName(where === 'slots()' ? 'slot' : 'global', name, this.#source.name);
      if (items.findIndex((other) => other.name === name) !== i) this.#fail(`${where} declares "${name}" twice`);
    });
    return items;
  }

  #program(phase: string, outputs: () => readonly (readonly [string, ExpressionNodeReference])[]): Program {
    const { name } = this.#source;
    try {
      return buildProgram(`${name} ${phase}`, Object.fromEntries(watchConditions(outputs)));
    } catch (error) {
      if (error instanceof AdakitError && !error.message.startsWith('optimizer "')) {
        throw new AdakitError('invalid-rule', `optimizer "${name}", ${phase}: ${error.message}`, { cause: error });
      }
      throw error;
    }
  }

  #inputs(param: Tensor): Inputs<H, S, G> {
    return {
      ...this.#form,
      param,
      grad: deviceInput('grad', 'param'),
      slots: known(
        this.#slots.map(({ name, shape }) => [name as S, deviceInput(`slot.${name}`, shape)]),
        (key) =>
          this.#fail(`reads the slot "${key}", which slots() does not declare for ${JSON.stringify(this.#uses)}`),
      ),
      globals: this.#globalInputs(),
      ...this.#hostInputs(),
      rows: hostInput('rows'),
      cols: hostInput('cols'),
      size: hostInput('size'),
      key: hostInput('key'),
      samples: hostInput('samples'),
      allSamples: hostInput('allSamples'),
      lossScale: hostInput('lossScale'),
    };
  }

  #totalInputs(): TotalInputs<H, G> {
    const numbers = (kind: 'sum' | 'largest'): Readonly<Record<string, Tensor>> =>
      new Proxy({}, { get: (_, key) => deviceInput(`${kind}.${String(key)}`, 'number') });
    return {
      sums: numbers('sum'),
      largest: numbers('largest'),
      globals: this.#globalInputs(),
      ...this.#hostInputs(),
    };
  }

  #globalInputs(): Readonly<Record<G, Tensor>> {
    return known(
      this.#globals.map(({ name }) => [name, deviceInput(`global.${name}`, 'number')]),
      (key) => this.#fail(`reads the global "${key}", which globals() does not declare`),
    );
  }

  #hostInputs(): Pick<Inputs<H, S, G>, 'hyper' | 'initial' | 'uses' | 'step'> {
    const { hyperparameters } = this.#source;
    const numeric = Object.keys(hyperparameters).filter((key) => hyperparameters[key].type === 'number');
    const scalars = (kind: 'hyper' | 'initial'): Inputs<H, S, G>['hyper'] =>
      known(
        numeric.map((key) => [key, hostInput(`${kind}.${key}`)]),
        (key) => this.#fail(`reads ${kind}.${key}, which is not a numeric hyperparameter`),
      );
    return { hyper: scalars('hyper'), initial: scalars('initial'), uses: this.#uses, step: hostInput('step') };
  }

  #output(phase: string, name: string, value: unknown, shape: Shape): readonly [name: string, value: Tensor] {
    if (!(value instanceof Expression)) this.#fail(`${phase} must return an expression for ${name}`);
    const { type } = value as Tensor;
    if (type.dtype === 'bool') this.#fail(`${phase} returns a comparison for ${name}`);
    const fills = type.shape === 'number' || equalShapes(type.shape, shape);
    if (!fills) this.#fail(`${phase} returns ${shapeText(type.shape)} for ${name}, which is ${shapeText(shape)}`);
    // Devices need not know what an output is to find out how often a single number is meant.
    return [name, broadcast(value as Tensor, shape)];
  }

  #numbers(kind: string, values: Readonly<Record<string, Tensor>>) {
    return Object.entries(values).map(([name, value]) => {
      checkName(kind, name, this.#source.name);
      return this.#output('measure', `${kind}.${name}`, value, 'number');
    });
  }

  #slotOutputs(slots: { readonly [K in S]?: Tensor } = {}) {
    return Object.entries(slots).map(([key, value]) => {
      const slot = this.#slots.find(({ name }) => name === key);
      if (slot === undefined) return this.#fail(`returns the slot "${key}", which slots() does not declare`);
      // A slot of a narrow format holds what fits in it, on every device alike.
      const [name, given] = this.#output('a phase', `slot.${key}`, value, slot.shape);
      return [name, narrowed(given, slot.dtype)] as const;
    });
  }

  #globalOutputs(globals: { readonly [K in G]?: Tensor }) {
    return Object.entries(globals).map(([key, value]) => {
      if (!this.#globals.some(({ name }) => name === key)) {
        this.#fail(`total returns the global "${key}", which globals() does not declare`);
      }
      return this.#output('total', `global.${key}`, value, 'number');
    });
  }

  /** A slot that nothing ever sets is a slip: keep it out, or return it. */
  #checkSlotsAreUpdated(programs: readonly (Program | undefined)[]): void {
    for (const { name } of this.#slots) {
      if (programs.some((program) => program !== undefined && Object.hasOwn(program.outputs, `slot.${name}`))) continue;
      this.#fail(`must return an expression for the slot "${name}"`);
    }
  }
}

function narrowed(value: Tensor, dtype: SlotDType): Tensor {
  return dtype === 'float32' ? value : cast(value, dtype);
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
