import { evaluateScalars, type PlanGroup, type Piece, type Program, type Schedule } from '@adakit/core';
import type { Emitter } from '../graph/emitter.js';
import { addOutput } from '../graph/output.js';
import type { Value } from '../graph/value.js';
import { OnnxError } from '../error.js';
import { operations } from './emit-program.js';

/** A hyperparameter that whoever runs a graph feeds: float64, of shape [1]. */
export interface FedHyperparameter {
  readonly input: string;
  /** As its component calls it, e.g. `lr`. */
  readonly name: string;
  /** Its value, before any schedule. */
  readonly value: number;
  /** How it changes: a factor on `value` by the number of the step, counted from 1. */
  readonly schedule?: Schedule;
}

/** What a graph reads that computes its scalars itself. */
export interface ClockBinding {
  /** Steps taken so far, int64 of shape [1]; `output` is one more. */
  readonly step: { readonly input: string; readonly output: string };
  readonly hyperparameters: readonly FedHyperparameter[];
}

/** What scalars of a program may depend on beside the plan. */
export interface ScalarPlace {
  readonly group: PlanGroup;
  /** Of one parameter; of a program over totals there is none. */
  readonly extents: { readonly rows: number; readonly cols: number };
  readonly size: number;
}

/**
 * Computes the host's scalars in the graph, in float64 as the host does, from the number of steps taken and the learning
 * rate. What depends on neither is a constant.
 */
export class ComputedScalars {
  readonly #e: Emitter;
  readonly #fed = new Map<string, { readonly binding: FedHyperparameter; readonly value: Value }>();
  readonly #step: Value;
  /** The number of the step being taken, counted from 1: float64 of rank 0. */
  readonly #now: Value;
  readonly #next: Value;

  constructor(e: Emitter) {
    this.#e = e;
    const { graph } = e;
    this.#step = graph.addInput(graph.uniqueName('step'), { dtype: 'int64', shape: [1] });
    this.#next = e.add(this.#step, e.int64([1]));
    this.#now = e.squeeze(e.cast(this.#next, 'float64'), [0]);
  }

  /** Makes what the step counts an output. */
  finish(): ClockBinding {
    return {
      step: { input: this.#step.name, output: addOutput(this.#e, this.#next, 'step_new') },
      hyperparameters: [...this.#fed.values()].map(({ binding }) => binding),
    };
  }

  /**
   * Gives the scalar instructions of a program, float64 of rank 0; conditions are `bool`.
   *
   * @throws OnnxError `unsupported-optimizer` for a scalar that only a host knows
   */
  reader(program: Program, place: ScalarPlace): (index: number) => Value {
    const e = this.#e;
    const inputs = program.instructions.map((instruction) =>
      instruction.form === 'input' && instruction.type.place === 'host'
        ? this.#input(instruction.name, place)
        : undefined,
    );
    const known = evaluateScalars(program, (name) => {
      const at = program.instructions.findIndex((each) => each.form === 'input' && each.name === name);
      const value = inputs[at];
      return typeof value === 'number' ? value : NaN;
    });
    const varying = new Set<number>();
    program.instructions.forEach((instruction, index) => {
      const depends =
        instruction.form === 'input'
          ? typeof inputs[index] === 'object'
          : 'args' in instruction && instruction.args.some((arg) => varying.has(arg));
      if (depends) varying.add(index);
    });
    const values = new Map<number, Value>();
    const valueOf = (index: number): Value => {
      const found = values.get(index) ?? compute(index);
      values.set(index, found);
      return found;
    };
    const compute = (index: number): Value => {
      const instruction = program.instructions[index];
      const { type } = instruction;
      if (!varying.has(index)) {
        const constant = e.scalar(known[index], 'float64');
        return type.dtype === 'bool' ? e.cast(constant, 'bool') : constant;
      }
      const input = inputs[index];
      if (typeof input === 'object') return input;
      if (instruction.form !== 'elementwise') throw new Error(`scalar ${index} of ${program.name} cannot be computed`);
      const [a, b, c] = instruction.args.map(valueOf);
      if (instruction.op === 'floor') return e.node('Floor', [a]);
      if (instruction.op === 'mod') return e.sub(a, e.mul(b, e.node('Floor', [e.div(a, b)])));
      return operations[instruction.op](e, a, b, c);
    };
    return valueOf;
  }

  #input(name: string, { group, extents, size }: ScalarPlace): Value | number | undefined {
    switch (name) {
      case 'step':
        return this.#now;
      case 'rows':
      case 'cols':
        return extents[name];
      case 'size':
        return size;
      case 'key':
        // Only what random numbers are drawn from reads it, and these are inputs.
        return undefined;
      default:
        return this.#setting(name, group);
    }
  }

  #setting(name: string, { pieces }: PlanGroup): Value | number {
    for (const piece of pieces) {
      const [hyper, initial] = [`hyper.${piece.prefix}`, `initial.${piece.prefix}`];
      const [own, start] = [name.slice(hyper.length), name.slice(initial.length)];
      if (name.startsWith(hyper) && Object.hasOwn(piece.hyperparameters, own)) return this.#hyperparameter(piece, own);
      if (name.startsWith(initial) && Object.hasOwn(piece.initial, start)) return Number(piece.initial[start]);
    }
    throw new OnnxError(
      'unsupported-optimizer',
      `the update reads '${name}', which changes from step to step and only a run of adakit knows; ` +
        'train with a TrainingSession, or leave out the piece that needs it',
    );
  }

  /** The learning rate and what has a schedule are fed; equal ones of several groups together. */
  #hyperparameter({ prefix, hyperparameters, schedules }: Piece, name: string): Value | number {
    const value = Number(hyperparameters[name]);
    const schedule = Object.hasOwn(schedules, name) ? schedules[name] : undefined;
    const isRate = prefix === '' && name === 'lr';
    if (!isRate && schedule === undefined) return value;
    const key = JSON.stringify([prefix + name, value, schedule]);
    const known = this.#fed.get(key);
    if (known !== undefined) return known.value;
    const e = this.#e;
    const input = e.graph.addInput(e.graph.uniqueName(isRate ? 'learning_rate' : prefix + name), {
      dtype: 'float64',
      shape: [1],
    });
    const number = e.squeeze(input, [0]);
    const binding = { input: input.name, name: prefix + name, value, ...(schedule !== undefined && { schedule }) };
    this.#fed.set(key, { binding, value: number });
    return number;
  }
}
