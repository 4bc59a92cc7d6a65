import type { Program } from '../program/program.js';
import { evaluateScalars } from '../execution/scalars.js';
import { parseHyperparameters, type HyperparameterDefinitions, type HyperparameterValues } from './hyperparameters.js';

/** An optimizer's definition as the machinery sees it. */
export interface OptimizerDefinition {
  readonly name: string;
  readonly hyperparameters: HyperparameterDefinitions;
  /** The program for the structure that these values imply; made once per structure. */
  program(values: HyperparameterValues): Program;
}

/** Hyperparameters for some of the parameters. */
export interface ParameterGroup {
  /** A parameter's exact name, or a regular expression searched in names. */
  readonly match: string | RegExp;
  /** What differs from the other parameters. */
  readonly hyperparameters: HyperparameterValues;
}

/**
 * A configured optimizer: a definition and the values of its hyperparameters. Immutable; {@link with} makes another.
 * Runners ask it, parameter by parameter, which program to run and with which scalars.
 */
export class Optimizer {
  readonly name: string;
  readonly hyperparameters: HyperparameterValues;
  /** Hyperparameters as given at construction; {@link with} keeps them. AdaBound's bounds refer to the first learning rate. */
  readonly initial: HyperparameterValues;
  /** Where several groups match a parameter, the later wins. */
  readonly groups: readonly ParameterGroup[];
  readonly #definition: OptimizerDefinition;
  /** Optimizers of the groups, by the indices of the groups that apply. */
  readonly #members = new Map<string, Optimizer>();

  constructor(
    definition: OptimizerDefinition,
    hyperparameters: HyperparameterValues,
    initial: HyperparameterValues = hyperparameters,
    groups: readonly ParameterGroup[] = [],
  ) {
    this.name = definition.name;
    this.hyperparameters = Object.freeze({ ...hyperparameters });
    this.initial = Object.freeze({ ...initial });
    this.groups = groups;
    this.#definition = definition;
    // Bad values in a group are an error now, not when the first parameter matches.
    groups.forEach((_, index) => this.#member([index]));
  }

  /** The optimizer as it applies to one parameter: this one, unless a group says otherwise. */
  for(parameter: string): Optimizer {
    const matching = this.groups.flatMap(({ match }, index) => (matches(match, parameter) ? [index] : []));
    return matching.length === 0 ? this : this.#member(matching);
  }

  /** The update rule for these hyperparameters. */
  get program(): Program {
    return this.#definition.program(this.hyperparameters);
  }

  /**
   * The same optimizer with some hyperparameters changed, as by a schedule; the values at construction stay on record,
   * and groups keep what they set themselves.
   *
   * @throws AdakitError naming the hyperparameter that is unknown or out of range
   */
  with(changes: Readonly<Record<string, number | boolean>>): Optimizer {
    return new Optimizer(this.#definition, this.#parse(this.hyperparameters, changes), this.initial, this.groups);
  }

  /**
   * The same optimizer with parameter groups.
   *
   * @example `adam({ weightDecay: 1e-2 }).withGroups([{ match: /bias$/, hyperparameters: { weightDecay: 0 } }])`
   * @throws AdakitError naming the hyperparameter that is unknown or out of range
   */
  withGroups(groups: readonly ParameterGroup[]): Optimizer {
    return new Optimizer(this.#definition, this.hyperparameters, this.initial, groups);
  }

  /** As {@link with}, but for a resumed run: all values, and those at construction. */
  restore(
    hyperparameters: HyperparameterValues,
    initial: HyperparameterValues,
    groups: readonly ParameterGroup[],
  ): Optimizer {
    return new Optimizer(this.#definition, this.#parse({}, hyperparameters), this.#parse({}, initial), groups);
  }

  /**
   * The value of every scalar instruction of {@link program} at step `step` (counted from 1), indexed like the
   * instructions; tensor instructions hold NaN.
   */
  scalars(step: number): Float64Array {
    return evaluateScalars(this.program, { step, hyper: this.hyperparameters, initial: this.initial });
  }

  #member(groups: readonly number[]): Optimizer {
    const key = groups.join();
    let member = this.#members.get(key);
    if (member === undefined) {
      const changes = Object.assign(
        {},
        ...groups.map((index) => this.groups[index].hyperparameters),
      ) as HyperparameterValues;
      member = new Optimizer(
        this.#definition,
        this.#parse(this.hyperparameters, changes),
        this.#parse(this.initial, changes),
      );
      this.#members.set(key, member);
    }
    return member;
  }

  #parse(values: HyperparameterValues, changes: HyperparameterValues): HyperparameterValues {
    return parseHyperparameters(this.name, this.#definition.hyperparameters, { ...values, ...changes }, 'perStep');
  }
}

function matches(match: string | RegExp, name: string): boolean {
  return typeof match === 'string' ? match === name : name.search(match) >= 0;
}
