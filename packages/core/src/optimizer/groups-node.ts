import { AdakitError, shown } from '../errors.js';
import { parseHyperparameters, problemOf } from './hyperparameter-values.js';
import type { HyperparameterDefinitions, HyperparameterValues } from './hyperparameters.js';
import { matchData, matches, requireMatches } from './matching.js';
import type { ParameterMatch, ParameterSpec } from './match.js';
import {
  parseSchedules,
  unknownGroup,
  type Configured,
  type OptimizerConfig,
  type OptimizerNode,
  type ResolvedChain,
  type Schedules,
  type TreeNode,
} from './node.js';

/** A group of parameters in the tree: which it chooses, and its own rule, or changes to the rule of the rest. */
export interface GroupNode {
  readonly name: string;
  readonly match: ParameterMatch;
  readonly optimizer?: OptimizerNode;
  readonly hyperparameters: HyperparameterValues;
  /** Those at construction, where they have been changed since. */
  readonly initial?: HyperparameterValues;
  readonly schedules: Schedules;
}

/** Parameters that have something of their own, and the optimizer of the rest. */
export class GroupsNode implements TreeNode {
  readonly kind = 'groups';
  readonly groups: readonly GroupNode[];
  readonly rest: OptimizerNode;

  /**
   * @throws AdakitError for values in a group that its rule does not accept, whether a parameter matches or not, and for
   * names that would not tell groups apart
   */
  constructor(groups: readonly GroupNode[], rest: OptimizerNode) {
    checkNames(groups.map(({ name }) => name));
    this.groups = groups;
    this.rest = rest;
    for (const group of groups) applyGroup(group, rest);
  }

  get text(): string {
    const own = this.groups.flatMap(({ optimizer }) => optimizer?.text ?? []);
    return `groups(${[...own, this.rest.text].join(', ')})`;
  }

  get rule(): Configured {
    return this.rest.rule;
  }

  get pieces(): readonly Configured[] {
    return [...this.rest.pieces, ...this.groups.flatMap(({ optimizer }) => optimizer?.pieces ?? [])];
  }

  get wrappers(): readonly string[] {
    return this.rest.wrappers;
  }

  get groupNames(): readonly string[] {
    return [...this.groups.map(({ name }) => name), ...this.rest.groupNames];
  }

  resolve(parameter: ParameterSpec): ResolvedChain {
    const chosen = this.groups.filter(({ match }) => matches(match, parameter));
    const inner = chosen.reduce((rest, group) => applyGroup(group, rest), this.rest);
    const { chain, path, owners } = inner.resolve(parameter);
    const names = chosen.map(({ name }) => name);
    // A group without an optimizer changes the rule alone: wrappers stay those of the rest.
    const writers = chosen.flatMap(({ name, optimizer }) => (optimizer ? [name] : [])).slice(-1);
    return {
      chain,
      path: within(names, path),
      owners: chain.map(({ kind }, i) => within(kind === 'rule' ? names : writers, owners[i])),
    };
  }

  checkGroups(parameters: readonly ParameterSpec[]): void {
    for (const { name, match, optimizer } of this.groups) {
      const chosen = requireMatches(`the match of the group "${name}"`, match, parameters);
      optimizer?.checkGroups(chosen);
    }
    this.rest.checkGroups(parameters);
  }

  mapRule(change: (rule: Configured) => Configured): OptimizerNode {
    return new GroupsNode(this.groups, this.rest.mapRule(change));
  }

  change(values: HyperparameterValues, group: string | undefined): OptimizerNode {
    // What is no object is a name that no hyperparameter has.
    if (Object(values) !== values) return this.change({ [shown(values)]: 0 }, group);
    const { groups, groupNames } = this;
    // Wrappers around the main rule are there once, whatever the group.
    const ofWrappers = (key: string): boolean => key.includes('.');
    const around = pick(values, ofWrappers);
    const rest = Object.keys(around).length === 0 ? this.rest : this.rest.change(around, undefined);
    const changes = pick(values, (key) => !ofWrappers(key));
    if (group === undefined) return new GroupsNode(groups, rest.change(changes, group));
    if (group !== 'all' && !groupNames.includes(group)) {
      throw unknownGroup(group, `the groups are ${groupNames.join(', ')}`);
    }
    const list = groups.map((member): GroupNode => {
      if (group !== 'all' && member.name !== group) return member;
      if (member.optimizer === undefined) {
        const { hyperparameters, initial = hyperparameters } = member;
        return { ...member, hyperparameters: { ...hyperparameters, ...changes }, initial };
      }
      // What is meant for all need not be known to every rule.
      const { hyperparameters } = member.optimizer.rule;
      const known = pick(changes, (key) => group !== 'all' || Object.hasOwn(hyperparameters, key));
      return { ...member, optimizer: member.optimizer.change(known, undefined) };
    });
    const reaches = group === 'all' || rest.groupNames.includes(group);
    return new GroupsNode(list, reaches ? rest.change(changes, group) : rest);
  }

  schedule(schedules: Schedules): OptimizerNode {
    return new GroupsNode(this.groups, this.rest.schedule(schedules));
  }

  config(parameters: readonly ParameterSpec[]): OptimizerConfig {
    return {
      kind: 'groups',
      groups: this.groups.map(({ name, match, optimizer, hyperparameters, initial, schedules }) => ({
        name,
        match: matchData(
          match,
          parameters.filter((parameter) => matches(match, parameter)).map((parameter) => parameter.name),
        ),
        ...(optimizer && { optimizer: optimizer.config(parameters) }),
        hyperparameters,
        ...(initial && { initial }),
        schedules: structuredClone(schedules),
      })),
      rest: this.rest.config(parameters),
    };
  }
}

function pick(values: HyperparameterValues, isWanted: (key: string) => boolean): HyperparameterValues {
  return Object.fromEntries(Object.entries(values).filter(([key]) => isWanted(key)));
}

/** A path in groups at one depth, in which a slash goes deeper; what none of them has chosen may be in deeper ones. */
function within(names: readonly string[], path: string): string {
  if (names.length > 0) return `${names.join('+')}/${path}`;
  return path && `*/${path}`;
}

/** What paths of groups are written with, so that no name may have it. */
const PATH_MARKS = /[/+]/g;

function checkNames(names: readonly string[]): void {
  names.forEach((name, i) => {
    const fail = (problem: string): never => {
      throw new AdakitError('invalid-plan', problem);
    };
    if (typeof name !== 'string' || name === '') {
      fail(`group ${i + 1} has the name ${JSON.stringify(name)}; give it a word, or leave the name out`);
    }
    if (name === '*' || name.search(PATH_MARKS) >= 0) {
      const other = name === '*' ? `group${i + 1}` : name.replaceAll(PATH_MARKS, '-');
      fail(
        `the group "${name}" needs another name, e.g. "${other}": states write groups as "outer/inner" and "one+other", ` +
          'and "*" for parameters that none has chosen',
      );
    }
    if (name === 'all' || names.indexOf(name) !== i) {
      fail(`two groups have the name "${name}", or it is "all"; give each its own`);
    }
  });
}

/** What a group makes of the optimizer that its parameters would have without it. */
function applyGroup(group: GroupNode, rest: OptimizerNode): OptimizerNode {
  const base = group.optimizer ?? rest;
  const { hyperparameters, initial = hyperparameters, schedules } = group;
  if (Object.keys(hyperparameters).length === 0 && Object.keys(schedules).length === 0) return base;
  return base.mapRule((rule) => {
    const start = { ...rule.initial, ...lasting(rule, initial) };
    const made = { ...rule, initial: parseHyperparameters({ ...rule, initial: {} }, start, 'atConstruction') };
    return {
      ...made,
      hyperparameters: parseHyperparameters(made, { ...rule.hyperparameters, ...hyperparameters }, 'perStep'),
      schedules: { ...rule.schedules, ...parseSchedules(rule, schedules) },
    };
  });
}

/** What a group may start with: a learning rate of zero, for parameters at rest, is only one for the time being. */
function lasting({ component }: Configured, values: HyperparameterValues): HyperparameterValues {
  const definitions = component.hyperparameters;
  return Object.fromEntries(Object.entries(values).filter(([name, value]) => startsWith(definitions, name, value)));
}

/** Whether an optimizer can be made with this value; unknown names count as such. */
function startsWith(definitions: HyperparameterDefinitions, name: string, value: unknown): boolean {
  return !Object.hasOwn(definitions, name) || problemOf(definitions[name], value, 'atConstruction') === undefined;
}
