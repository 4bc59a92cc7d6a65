import type { Program } from '../program/program.js';
import { AdakitError } from '../errors.js';
import { evaluateScalars } from '../execution/scalars.js';
import { parseSchedule, scheduleFactor, type Schedule } from '../schedule/schedule.js';
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

/** Schedules by hyperparameter. */
export type Schedules = Readonly<Record<string, Schedule>>;

/** Everything about an optimizer that is not its rule. */
export interface OptimizerSettings {
  readonly hyperparameters: HyperparameterValues;
  /** Default: the hyperparameters. */
  readonly initial?: HyperparameterValues;
  readonly groups?: readonly ParameterGroup[];
  readonly schedules?: Schedules;
  /** Default: the one for the hyperparameters. */
  readonly program?: Program;
}

/** A scheduled optimizer and a step. */
interface Moment {
  readonly of: Optimizer;
  readonly step: number;
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
  /** How hyperparameters change over time, groups included; see {@link at}. */
  readonly schedules: Schedules;
  /** The update rule for these hyperparameters. Schedules do not change it, even where they reach zero. */
  readonly program: Program;
  readonly #definition: OptimizerDefinition;
  /** Optimizers of the groups, by the indices of the groups that apply. */
  readonly #members = new Map<string, Optimizer>();
  readonly #moment: Moment | undefined;

  /** @param moment of what this is what {@link at} gives; groups are scheduled there */
  constructor(definition: OptimizerDefinition, settings: OptimizerSettings, moment?: Moment) {
    const { hyperparameters, initial = hyperparameters, groups = [], schedules = {} } = settings;
    this.name = definition.name;
    this.hyperparameters = Object.freeze({ ...hyperparameters });
    this.initial = Object.freeze({ ...initial });
    this.groups = groups;
    this.schedules = schedules;
    this.program = settings.program ?? definition.program(hyperparameters);
    this.#definition = definition;
    this.#moment = moment;
    // Bad values in a group are an error now, not when the first parameter matches.
    groups.forEach((_, index) => this.#member([index]));
  }

  /** The optimizer as it applies to one parameter: this one, unless a group says otherwise. */
  for(parameter: string): Optimizer {
    const matching = this.groups.flatMap(({ match }, index) => (matches(match, parameter) ? [index] : []));
    return matching.length === 0 ? this : this.#member(matching);
  }

  /**
   * The optimizer at step `step` of the run, counted from 1: scheduled hyperparameters have their value then, those of
   * groups included. Without schedules, this one.
   *
   * @throws AdakitError when a schedule has left the range of its hyperparameter
   */
  at(step: number): Optimizer {
    const scheduled = Object.entries(this.schedules);
    if (scheduled.length === 0) return this;
    const now = scheduled.map(([name, schedule]) => [
      name,
      Number(this.hyperparameters[name]) * scheduleFactor(schedule, step),
    ]);
    const hyperparameters = this.#parse(this.hyperparameters, Object.fromEntries(now) as HyperparameterValues);
    const settings = { ...this.#settings(), hyperparameters, program: this.program, schedules: {} };
    return new Optimizer(this.#definition, settings, { of: this, step });
  }

  /**
   * The same optimizer with some hyperparameters changed, as by a schedule; the values at construction stay on record,
   * and groups keep what they set themselves.
   *
   * @throws AdakitError naming the hyperparameter that is unknown or out of range
   */
  with(changes: Readonly<Record<string, number | boolean>>): Optimizer {
    const hyperparameters = this.#parse(this.hyperparameters, changes);
    return new Optimizer(this.#definition, { ...this.#settings(), hyperparameters });
  }

  /**
   * The same optimizer with parameter groups.
   *
   * @example `adam({ weightDecay: 1e-2 }).withGroups([{ match: /bias$/, hyperparameters: { weightDecay: 0 } }])`
   * @throws AdakitError naming the hyperparameter that is unknown or out of range
   */
  withGroups(groups: readonly ParameterGroup[]): Optimizer {
    return new Optimizer(this.#definition, { ...this.#settings(), groups });
  }

  /**
   * The same optimizer with schedules on numeric hyperparameters; each multiplies the value there is.
   *
   * @example `adam({ lr: 1e-3 }).withSchedules({ lr: warmup(100, cosine(10_000)) })`
   * @throws AdakitError for an unknown or boolean hyperparameter, or a malformed schedule
   */
  withSchedules(schedules: Schedules): Optimizer {
    const parsed = Object.entries(schedules).map(([name, schedule]) => {
      if (typeof this.hyperparameters[name] !== 'number') {
        const numeric = Object.keys(this.hyperparameters).filter(
          (key) => typeof this.hyperparameters[key] === 'number',
        );
        throw new AdakitError(
          'unknown-hyperparameter',
          `${this.name}: cannot schedule "${name}", the numeric hyperparameters are ${numeric.join(', ')}`,
        );
      }
      return [name, parseSchedule(name, schedule)] as const;
    });
    return new Optimizer(this.#definition, { ...this.#settings(), schedules: Object.fromEntries(parsed) });
  }

  /** The same rule with all settings of a saved run. @throws AdakitError for values that the rule does not accept */
  restore(
    hyperparameters: HyperparameterValues,
    initial: HyperparameterValues,
    groups: readonly ParameterGroup[],
    schedules: Schedules = {},
  ): Optimizer {
    return new Optimizer(this.#definition, {
      hyperparameters: this.#parse({}, hyperparameters),
      initial: this.#parse({}, initial, 'atConstruction'),
      groups,
    }).withSchedules(schedules);
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
    if (member === undefined && this.#moment !== undefined) {
      member = this.#moment.of.#member(groups).at(this.#moment.step);
      this.#members.set(key, member);
    } else if (member === undefined) {
      const changes = Object.assign(
        {},
        ...groups.map((index) => this.groups[index].hyperparameters),
      ) as HyperparameterValues;
      member = new Optimizer(this.#definition, {
        hyperparameters: this.#parse(this.hyperparameters, changes),
        initial: this.#parse(this.initial, changes, 'atConstruction'),
        schedules: this.schedules,
      });
      this.#members.set(key, member);
    }
    return member;
  }

  #settings(): OptimizerSettings {
    const { hyperparameters, initial, groups, schedules } = this;
    return { hyperparameters, initial, groups, schedules };
  }

  #parse(
    values: HyperparameterValues,
    changes: HyperparameterValues,
    when: 'atConstruction' | 'perStep' = 'perStep',
  ): HyperparameterValues {
    return parseHyperparameters(this.name, this.#definition.hyperparameters, { ...values, ...changes }, when);
  }
}

/** Whether a group with this `match` applies to the parameter `name`; a regular expression's own state plays no part. */
export function matches(match: ParameterGroup['match'], name: string): boolean {
  return typeof match === 'string' ? match === name : name.search(match) >= 0;
}
