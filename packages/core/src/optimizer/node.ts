import type { Component } from '../component/component.js';
import { AdakitError } from '../errors.js';
import { requireSchedule, type Schedule, type ScheduleData } from '../schedule/schedule.js';
import { parseHyperparameters } from './hyperparameter-values.js';
import type { HyperparameterValues } from './hyperparameters.js';
import type { GroupsNode } from './groups-node.js';
import type { MatchData, ParameterSpec } from './match.js';
import type { WrapperNode } from './wrapper.js';

/** Schedules by hyperparameter. */
export type Schedules = Readonly<Record<string, Schedule>>;

/** As states hold them. */
export type SchedulesData = Readonly<Record<string, ScheduleData>>;

/** A component with values for its hyperparameters. */
export interface Configured {
  readonly component: Component;
  readonly hyperparameters: HyperparameterValues;
  /** Hyperparameters as given at construction; later changes keep them. AdaBound's bounds refer to the first learning rate. */
  readonly initial: HyperparameterValues;
  readonly schedules: Schedules;
}

/** What an optimizer is made of: a tree. Each kind of node brings what it needs, so that a plain rule comes alone. */
export type OptimizerNode = RuleNode | WrapperNode | GroupsNode;

/** What can be asked of every node of the tree. */
export interface TreeNode {
  /** In a line: `ema(clipByGlobalNorm(adam))`. */
  readonly text: string;
  /** The rule of the parameters that no group chooses. */
  readonly rule: Configured;
  /** All pieces in the tree, outer ones and those of the rest first. */
  readonly pieces: readonly Configured[];
  /** Names of the wrappers around the main rule. */
  readonly wrappers: readonly string[];
  /** Names of the groups in it. */
  readonly groupNames: readonly string[];
  /** The optimizer of one parameter. */
  resolve(parameter: ParameterSpec): ResolvedChain;
  /** @throws AdakitError `unknown-parameter` for a group that chooses none of them */
  checkGroups(parameters: readonly ParameterSpec[]): void;
  /** The same with a change to the main rule. */
  mapRule(change: (rule: Configured) => Configured): OptimizerNode;
  /**
   * The same with other hyperparameters of the main rule, or of a group (`all`: of all), and of the wrappers around the main
   * rule, whose names have theirs in front: `ema.decay`.
   *
   * @throws AdakitError for an unknown group or hyperparameter
   */
  change(changes: HyperparameterValues, group: string | undefined): OptimizerNode;
  /**
   * The same with these schedules on the main rule, in the place of those it had, and on the wrappers around it that they name.
   *
   * @throws AdakitError for a hyperparameter that cannot have one
   */
  schedule(schedules: Schedules): OptimizerNode;
  config(parameters: readonly ParameterSpec[]): OptimizerConfig;
}

/** A rule, the innermost of all. */
export class RuleNode implements TreeNode, Configured {
  readonly kind = 'rule';
  readonly component: Component;
  readonly hyperparameters: HyperparameterValues;
  readonly initial: HyperparameterValues;
  readonly schedules: Schedules;

  constructor({ component, hyperparameters, initial, schedules }: Configured) {
    this.component = component;
    this.hyperparameters = hyperparameters;
    this.initial = initial;
    this.schedules = schedules;
  }

  get text(): string {
    return this.component.name;
  }

  get rule(): Configured {
    return this;
  }

  get pieces(): readonly Configured[] {
    return [this];
  }

  get wrappers(): readonly string[] {
    return [];
  }

  get groupNames(): readonly string[] {
    return [];
  }

  resolve(): ResolvedChain {
    return { chain: [this], path: '', owners: [''] };
  }

  checkGroups(): void {
    // A rule has none.
  }

  mapRule(change: (rule: Configured) => Configured): OptimizerNode {
    return new RuleNode(change(this));
  }

  change(changes: HyperparameterValues, group: string | undefined): OptimizerNode {
    if (group !== undefined && group !== 'all') throw unknownGroup(group, 'this optimizer has no groups');
    return new RuleNode({ ...(this as Configured), hyperparameters: changedValues(this, changes) });
  }

  schedule(schedules: Schedules): OptimizerNode {
    return new RuleNode({ ...(this as Configured), schedules: parseSchedules(this, schedules) });
  }

  config(): OptimizerConfig {
    return configOf(this);
  }
}

export function unknownGroup(name: string, known: string): AdakitError {
  return new AdakitError('unknown-parameter', `there is no group "${name}"; ${known}`);
}

/** @throws AdakitError for an unknown hyperparameter, or a value out of its range */
export function changedValues(piece: Configured, changes: HyperparameterValues): HyperparameterValues {
  return parseHyperparameters(piece, changes, 'perStep', piece.hyperparameters);
}

/** A piece as data: schedules as their fields, without their formulas, which a clone leaves behind. */
export function configOf({ kind, component, hyperparameters, initial, schedules }: ChainLink): PieceConfig {
  return { kind, name: component.name, hyperparameters, initial, schedules: structuredClone(schedules) };
}

/** An optimizer as data. */
export type OptimizerConfig =
  | PieceConfig
  | {
      readonly kind: 'groups';
      readonly groups: readonly {
        readonly name: string;
        readonly match: MatchData;
        readonly optimizer?: OptimizerConfig;
        readonly hyperparameters: HyperparameterValues;
        /** Those at construction, where they have been changed since. */
        readonly initial?: HyperparameterValues;
        readonly schedules: SchedulesData;
      }[];
      readonly rest: OptimizerConfig;
    };

/** A rule or a wrapper as data. */
export interface PieceConfig {
  readonly kind: 'rule' | 'wrapper';
  readonly name: string;
  readonly hyperparameters: HyperparameterValues;
  readonly initial: HyperparameterValues;
  readonly schedules: SchedulesData;
  /** Of a wrapper. */
  readonly inner?: OptimizerConfig;
}

/** A piece of a parameter's optimizer. */
export type ChainLink = { readonly kind: 'rule' | 'wrapper' } & Configured;

/** What applies to one parameter: pieces from the outermost to the rule, and which groups chose it. */
export interface ResolvedChain {
  readonly chain: readonly ChainLink[];
  /**
   * Names of the groups that chose it: `one+other` at one depth, a slash behind each depth, `*` for having been left to the
   * rest of groups around others. Parameters with the same path have the same chain.
   */
  readonly path: string;
  /** Of each piece in the chain: the path of the group that it was written in, whoever else it is for. */
  readonly owners: readonly string[];
}

export function parseSchedules({ component }: Pick<Configured, 'component'>, schedules: Schedules): Schedules {
  return Object.fromEntries(
    Object.entries(Object(schedules) === schedules ? schedules : { schedules }).map(([name, schedule]) => [
      name,
      requireSchedule(name, schedule).on(component, name),
    ]),
  );
}
