import {
  concreteShape,
  elementCount,
  isTotal,
  type Distribution,
  type Extents,
  type InstructionOf,
  type Plan,
  type PlannedParameter,
  type Precision,
  type Program,
  type Stage,
} from '@adakit/core';
import { requireObject, requireOptions, requirePlan, STAGES } from '../given.js';
import type { Emitter } from '../graph/emitter.js';
import type { Value } from '../graph/value.js';
import { addOutput } from '../graph/output.js';
import { Tensor } from '../model/tensor.js';
import type { Together } from '../target/target.js';
import { ComputedScalars, type ClockBinding, type ScalarPlace } from './computed-scalars.js';
import { emitProgram, fedScalars, isElementwise, scalarReader, scalarsDiffer } from './emit-program.js';
import { layoutsOf, type Layout } from './layout.js';

/** A tensor that a step reads, changes, or both. */
export interface TensorBinding {
  /** The input that holds it before; absent when nothing reads it. */
  readonly input?: string;
  /** The output that holds it after; absent when it stays as it is. */
  readonly output?: string;
}

/** A program in the stages of a plan, by position, and the first parameter it is for. */
export interface ProgramPosition {
  readonly stage: number;
  /** Absent for a program over totals. */
  readonly call?: number;
  readonly parameter?: string;
}

/** An input for scalars of a program: a vector in the graph's precision. */
export interface ScalarBinding extends ProgramPosition {
  readonly input: string;
  /** The instructions whose values it holds. */
  readonly instructions: readonly number[];
}

/** An input for random numbers that the host draws. */
export interface RandomBinding extends ProgramPosition {
  readonly input: string;
  readonly shape: readonly number[];
  readonly distribution: Distribution;
  readonly stream: number;
  /** The instructions that hold what the numbers are a function of. */
  readonly key: readonly [seed: number, key: number, step: number];
}

/** Where a step's tensors are found among inputs and outputs of a graph. */
export interface PlanBindings {
  /** Element type of parameters, gradients, slots, numbers and scalars. */
  readonly precision: Precision;
  /** By parameter. Inputs have the parameters' names. */
  readonly parameters: Readonly<Record<string, TensorBinding>>;
  /** By parameter and slot. */
  readonly slots: Readonly<Record<string, Readonly<Record<string, TensorBinding>>>>;
  /** Numbers of all parameters together. */
  readonly globals: Readonly<Record<string, TensorBinding>>;
  readonly scalars: readonly ScalarBinding[];
  readonly random: readonly RandomBinding[];
  /** What scalars are computed from, where the graph computes them. */
  readonly clock?: ClockBinding;
  /** A `bool` vector that says of the gradient of every parameter, in the plan's order, whether it is finite. */
  readonly finite: string;
}

/** What to emit of a plan. */
export interface PlanEmission {
  readonly plan: Plan;
  /** Default: those of a step whose last batch is in. */
  readonly stages?: readonly Stage[];
  /** Parameters whose numbers of updates differ are of different cohorts; by default all are of one. */
  readonly cohort?: (parameter: PlannedParameter) => number;
  /** Which parameters are updated as one, where their rule allows it. Default: every parameter on its own. */
  readonly together?: Together | undefined;
  /**
   * Whether scalars are `fed`, the default, or `computed` in the graph from the number of steps taken and the learning rate,
   * in float64 as the host does. All parameters have then had as many updates.
   */
  readonly scalars?: 'fed' | 'computed';
}

/** The stages of a step whose last batch is in. */
export function stepStages({ batchStages, stages }: Plan): readonly Stage[] {
  return [...batchStages, ...stages];
}

/**
 * Everything that a graph of these stages depends on for given parameters: with the same structure it is the same graph,
 * whatever hyperparameters and step counts are.
 */
export function planStructure(emission: PlanEmission): string {
  requireObject('planStructure(): options', emission);
  requirePlan('planStructure()', emission.plan);
  const { plan, stages = stepStages(plan), cohort = () => 0 } = emission;
  requireOptions('planStructure()', { stages }, { stages: STAGES });
  const cohorts = new Map<number, number>();
  const nth = (key: number): number => {
    const known = cohorts.get(key) ?? cohorts.size;
    cohorts.set(key, known);
    return known;
  };
  const members = (parameters: readonly PlannedParameter[]): string =>
    parameters.map((parameter) => `${parameter.index}.${nth(cohort(parameter))}`).join();
  return stages
    .map((stage) =>
      stage.kind === 'total'
        ? stage.program.hash
        : stage.calls.map(({ program, parameters }) => `${program.hash} ${members(parameters)}`).join(';'),
    )
    .join('|');
}

/**
 * Appends the stages of a step for every parameter of a plan, totals over parameters included. Slots, numbers of all
 * parameters and scalars become inputs, what the step changes of them becomes outputs: slots are named
 * `<slot>/<parameter>`, numbers `global/<name>`, new values `<name>_new`.
 *
 * @param parameters by name, inputs of the graph, all of one element type
 * @param gradients by name of the parameter, of the same element type
 */
export function emitPlan(
  e: Emitter,
  emission: PlanEmission,
  parameters: Readonly<Record<string, Value>>,
  gradients: Readonly<Record<string, Value>>,
): PlanBindings {
  return new PlanEmitter(e, emission, parameters, gradients).emit();
}

class PlanEmitter {
  readonly #e: Emitter;
  readonly #plan: Plan;
  readonly #stages: readonly Stage[];
  readonly #cohort: (parameter: PlannedParameter) => number;
  readonly #together: Together;
  readonly #precision: Precision;
  readonly #gradients: readonly Value[];
  /** By parameter index what its `param`, `grad` and `slot.…` are at this point of the step, */
  readonly #now: readonly Map<string, Value>[];
  /** and what they were before it. */
  readonly #before: readonly Map<string, Value>[];
  readonly #globals = new Map<string, { before?: Value; now: Value }>();
  /** What is to be combined over parameters, in their order. */
  readonly #totals = new Map<string, Value[]>();
  readonly #scalars: ScalarBinding[] = [];
  readonly #computed: ComputedScalars | undefined;
  readonly #random: RandomBinding[] = [];

  constructor(
    e: Emitter,
    { plan, stages = stepStages(plan), cohort = () => 0, together = ALONE, scalars = 'fed' }: PlanEmission,
    parameters: Readonly<Record<string, Value>>,
    gradients: Readonly<Record<string, Value>>,
  ) {
    this.#e = e;
    this.#together = together;
    this.#plan = plan;
    this.#stages = stages;
    this.#cohort = cohort;
    this.#computed = scalars === 'computed' ? new ComputedScalars(e) : undefined;
    const list = plan.parameters.map(({ name }) => ({ param: parameters[name], grad: gradients[name] }));
    this.#precision = list.some(({ param }) => param.dtype === 'float64') ? 'float64' : 'float32';
    this.#gradients = list.map(({ grad }) => grad);
    this.#before = list.map(({ param }) => new Map([['param', param]]));
    this.#now = list.map((both) => new Map(Object.entries(both)));
  }

  emit(): PlanBindings {
    const finite = addOutput(this.#e, this.#finite(), 'finite');
    this.#stages.forEach((stage, at) => {
      if (stage.kind === 'total') this.#emitTotal(stage, at);
      else this.#emitCalls(stage, at);
    });
    const of = (key: string, index: number, name: string): TensorBinding =>
      this.#binding(this.#before[index].get(key), this.#now[index].get(key), name);
    const { parameters } = this.#plan;
    const clock = this.#computed?.finish();
    return {
      ...(clock !== undefined && { clock }),
      precision: this.#precision,
      finite,
      scalars: this.#scalars,
      random: this.#random,
      globals: Object.fromEntries(
        [...this.#globals].map(([name, { before, now }]) => [name, this.#binding(before, now, `global/${name}`)]),
      ),
      parameters: Object.fromEntries(parameters.map(({ name, index }) => [name, of('param', index, name)])),
      slots: Object.fromEntries(
        parameters.map(({ name, index, slots }) => [
          name,
          Object.fromEntries(
            slots.map((slot) => [slot.name, of(`slot.${slot.name}`, index, `${slot.name}/${name}`)] as const),
          ),
        ]),
      ),
    };
  }

  #binding(before: Value | undefined, now: Value | undefined, name: string): TensorBinding {
    return {
      ...(before !== undefined && { input: before.name }),
      ...(now !== undefined && now !== before && { output: addOutput(this.#e, now, `${name}_new`) }),
    };
  }

  /** x − x is 0 for every number, and NaN for infinities and NaN. */
  #finite(): Value {
    const e = this.#e;
    const zero = e.scalar(0, this.#precision);
    const { parameters } = this.#plan;
    if (parameters.length === 0) return e.equal(e.reshape(zero, [1]), zero);
    const layouts = layoutsOf(parameters, this.#together);
    const together = layouts.flatMap((layout) => layout.parameters);
    const alone = parameters.filter((parameter) => !together.includes(parameter));
    const sums = alone.map(({ index }) => {
      const gradient = this.#gradients[index];
      return e.reshape(e.reduceSum(e.sub(gradient, gradient)), [1]);
    });
    const flags = e.concat([...layouts.map((layout) => this.#nonFinite(layout)), ...sums], 0);
    const order = [...together, ...alone].map(({ index }) => index);
    const places = parameters.map(({ index }) => order.indexOf(index));
    return e.equal(places.every((place, i) => place === i) ? flags : e.gather(flags, e.int64(places)), zero);
  }

  /** For each gradient 0, or NaN where it is not finite. */
  #nonFinite(layout: Layout): Value {
    const e = this.#e;
    const matrix = layout.flatten(e, ({ index }) => this.#gradients[index]);
    const rows = e.reduceSum(e.sub(matrix, matrix), [1]);
    const zeros = e.constant(Tensor.filled(this.#precision, [layout.parameters.length], 0));
    return e.node('ScatterElements', [zeros, e.int64(layout.owners), rows], { axis: 0, reduction: 'add' });
  }

  #emitCalls({ calls, sums, largest }: Extract<Stage, { kind: 'parameters' }>, stage: number): void {
    for (const name of [...sums, ...largest]) this.#totals.set(name, []);
    calls.forEach(({ program, group, parameters }, call) => {
      const differ = scalarsDiffer(program);
      const readers = new Map<number, (index: number) => Value>();
      const readerOf = (parameter: PlannedParameter): ((index: number) => Value) => {
        const key = differ ? parameter.index : this.#cohort(parameter);
        const reader =
          readers.get(key) ??
          this.#addScalars(program, { stage, call, parameter: parameter.name }, { group, ...sizesOf(parameter) });
        readers.set(key, reader);
        return reader;
      };
      const alike = differ || !isElementwise(program) ? [] : parameters;
      const laid = [...new Set(alike.map(this.#cohort))].flatMap((cohort) =>
        layoutsOf(
          alike.filter((parameter) => this.#cohort(parameter) === cohort),
          this.#together,
        ),
      );
      for (const layout of laid) this.#emitTogether(program, layout, readerOf(layout.parameters[0]));
      for (const parameter of parameters) {
        if (laid.some((layout) => layout.parameters.includes(parameter))) continue;
        const { name, index, shape, extents } = parameter;
        const position = { stage, call, parameter: name };
        const scalar = readerOf(parameter);
        const results = this.#e.named(`${name}_update`, () =>
          emitProgram(this.#e, program, {
            precision: this.#precision,
            shape,
            extents,
            scalar,
            input: (input) => this.#input(input, parameter),
            random: (instruction) => this.#addRandom(instruction, shape, position),
          }),
        );
        for (const [output, value] of Object.entries(results)) this.#set(output, value, index);
      }
    });
  }

  /** The update of several parameters as one of all their elements in a row. */
  #emitTogether(program: Program, layout: Layout, scalar: (index: number) => Value): void {
    const e = this.#e;
    const [rows, cols] = layout.shape;
    const results = e.named('update', () =>
      emitProgram(e, program, {
        precision: this.#precision,
        shape: [rows, cols],
        extents: { rows, cols },
        scalar,
        input: (name) =>
          name.startsWith('global.') || isTotal(name)
            ? this.#input(name, undefined)
            : layout.flatten(e, (parameter) => this.#input(name, parameter)),
        random: ({ distribution }) => {
          throw new Error(`${distribution} numbers are drawn for each parameter on its own`);
        },
      }),
    );
    for (const [output, value] of Object.entries(results)) {
      layout.split(e, value).forEach((part, i) => {
        this.#set(output, part, layout.parameters[i].index);
      });
    }
  }

  #emitTotal({ program, group }: Extract<Stage, { kind: 'total' }>, stage: number): void {
    const results = emitProgram(this.#e, program, {
      precision: this.#precision,
      ...NO_PARAMETER,
      scalar: this.#addScalars(program, { stage }, { group, extents: NO_PARAMETER.extents, size: 1 }),
      input: (name) => this.#input(name, undefined),
      random: ({ distribution }) => {
        throw new Error(`a program over totals draws ${distribution} numbers`);
      },
    });
    for (const [output, value] of Object.entries(results)) this.#set(output, value, undefined);
  }

  #addScalars(program: Program, position: ProgramPosition, place: ScalarPlace): (index: number) => Value {
    if (this.#computed !== undefined) {
      const read = this.#computed.reader(program, place);
      return (index) => {
        const value = read(index);
        return value.dtype === 'bool' ? value : this.#e.cast(value, this.#precision);
      };
    }
    const instructions = fedScalars(program);
    let vector: Value | undefined;
    if (instructions.length > 0) {
      vector = this.#addInput('scalars', [instructions.length]);
      this.#scalars.push({ input: vector.name, ...position, instructions });
    }
    return scalarReader(this.#e, program, vector, this.#precision);
  }

  #addRandom(
    { distribution, stream, args }: InstructionOf<'random'>,
    shape: readonly number[],
    position: ProgramPosition & { readonly parameter: string },
  ): Value {
    const value = this.#addInput(`random/${position.parameter}`, shape);
    this.#random.push({ input: value.name, ...position, shape, distribution, stream, key: args });
    return value;
  }

  #input(name: string, parameter: PlannedParameter | undefined): Value {
    if (name.startsWith('global.')) return this.#global(name.slice('global.'.length));
    if (isTotal(name)) return this.#total(name);
    const known = parameter && this.#now[parameter.index].get(name);
    if (known !== undefined) return known;
    const slot = parameter?.slots.find((candidate) => name === `slot.${candidate.name}`);
    if (parameter === undefined || slot === undefined) throw new Error(`nothing is kept under the name "${name}"`);
    const shape = concreteShape(slot.shape, parameter.shape, parameter.extents);
    const value = this.#addInput(`${slot.name}/${parameter.name}`, shape);
    this.#before[parameter.index].set(name, value);
    this.#now[parameter.index].set(name, value);
    return value;
  }

  #global(name: string): Value {
    const known = this.#globals.get(name);
    if (known !== undefined) return known.now;
    const value = this.#addInput(`global/${name}`, []);
    this.#globals.set(name, { before: value, now: value });
    return value;
  }

  /** Parameters are taken into a total in their order, as everywhere. */
  #total(name: string): Value {
    const e = this.#e;
    const isSum = name.startsWith('sum.');
    const terms = this.#totals.get(name) ?? [];
    if (terms.length === 0) return e.scalar(isSum ? 0 : -Infinity, this.#precision);
    return terms.reduce((a, b) => (isSum ? e.add(a, b) : e.node('Max', [a, b])));
  }

  #set(output: string, value: Value, index: number | undefined): void {
    if (output.startsWith('global.')) {
      const name = output.slice('global.'.length);
      this.#globals.set(name, { ...this.#globals.get(name), now: value });
    } else if (isTotal(output)) {
      this.#totals.set(output, [...(this.#totals.get(output) ?? []), value]);
    } else if (index !== undefined) {
      this.#now[index].set(output, value);
    }
  }

  #addInput(name: string, shape: readonly number[]): Value {
    const { graph } = this.#e;
    return graph.addInput(graph.uniqueName(name), { dtype: this.#precision, shape });
  }
}

const ALONE: Together = { elements: 0, parameters: 2 };

function sizesOf({ extents, shape }: PlannedParameter): Omit<ScalarPlace, 'group'> {
  return { extents, size: elementCount(shape) };
}

/** For programs over totals. */
const NO_PARAMETER: { readonly shape: readonly number[]; readonly extents: Extents } = {
  shape: [],
  extents: { rows: 1, cols: 1 },
};
