import type { Component } from '../component/component.js';
import { AdakitError, closestName } from '../errors.js';
import { checkSchedule, type Schedule } from '../schedule/schedule.js';
import { parseHyperparameters, startsWith, type HyperparameterValues } from './hyperparameters.js';
import { matchData, matches, type MatchData, type ParameterMatch, type ParameterSpec } from './match.js';

/** Schedules by hyperparameter. */
export type Schedules = Readonly<Record<string, Schedule>>;

/** A component with values for its hyperparameters. */
export interface Configured {
  readonly component: Component;
  readonly hyperparameters: HyperparameterValues;
  /** Hyperparameters as given at construction; later changes keep them. AdaBound's bounds refer to the first learning rate. */
  readonly initial: HyperparameterValues;
  readonly schedules: Schedules;
}

/** What some of the parameters have of their own. */
export interface ParameterGroup {
  /** By which `setHyperparameters` and reports know it. Default: `group1`, `group2`, … */
  readonly name?: string;
  /** Which parameters. One that chooses none is an error when training starts. */
  readonly match: ParameterMatch;
  /** Another optimizer for them. */
  readonly optimizer?: Optimizer;
  /** Or the same one with other hyperparameters, */
  readonly hyperparameters?: HyperparameterValues;
  /** and other schedules. */
  readonly schedules?: Schedules;
}

/** What an optimizer is made of: a tree, plain but for the components it refers to. */
export type OptimizerNode =
  | ({ readonly kind: 'rule' } & Configured)
  | ({ readonly kind: 'wrapper'; readonly inner: OptimizerNode } & Configured)
  | { readonly kind: 'groups'; readonly groups: readonly GroupNode[]; readonly rest: OptimizerNode };

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

/** An optimizer as data. */
export type OptimizerConfig =
  | {
      readonly kind: 'rule' | 'wrapper';
      readonly name: string;
      readonly hyperparameters: HyperparameterValues;
      readonly initial: HyperparameterValues;
      readonly schedules: Schedules;
      /** Of a wrapper. */
      readonly inner?: OptimizerConfig;
    }
  | {
      readonly kind: 'groups';
      readonly groups: readonly {
        readonly name: string;
        readonly match: MatchData;
        readonly optimizer?: OptimizerConfig;
        readonly hyperparameters: HyperparameterValues;
        /** Those at construction, where they have been changed since. */
        readonly initial?: HyperparameterValues;
        readonly schedules: Schedules;
      }[];
      readonly rest: OptimizerConfig;
    };

/** Where a change of hyperparameters goes. */
export interface ChangeScope {
  /**
   * A group's name; or `all`: every group, whatever it has set itself. Default: the main optimizer, and groups as far as
   * they have not set the hyperparameter themselves.
   */
  readonly group?: string;
}

/**
 * A configured optimizer: a rule with its hyperparameters, and what is put around it. Immutable; changes make another.
 * With a list of parameters it becomes a plan, which runs on any device.
 */
export class Optimizer {
  readonly node: OptimizerNode;

  constructor(node: OptimizerNode) {
    this.node = node;
  }

  /** The name of the main rule. */
  get name(): string {
    return mainRule(this.node).component.name;
  }

  /** Hyperparameters of the main rule. */
  get hyperparameters(): HyperparameterValues {
    return mainRule(this.node).hyperparameters;
  }

  /** Those of the main rule as they were at construction. */
  get initial(): HyperparameterValues {
    return mainRule(this.node).initial;
  }

  get schedules(): Schedules {
    return mainRule(this.node).schedules;
  }

  /** The whole tree in a line: `ema(clipByGlobalNorm(adam))`. */
  toString(): string {
    return nodeText(this.node);
  }

  /**
   * The same optimizer with some hyperparameters changed, as by a schedule; the values at construction stay on record.
   * A wrapper's are named with it: `{ 'ema.decay': 0.99 }`.
   *
   * @throws AdakitError naming the hyperparameter that is unknown or out of range, or the group that does not exist
   */
  with(changes: HyperparameterValues, scope: ChangeScope = {}): Optimizer {
    return new Optimizer(changeNode(this.node, changes, scope));
  }

  /**
   * The same optimizer with schedules on numeric hyperparameters of the main rule; each multiplies the value there is.
   *
   * @example `adam({ lr: 1e-3 }).withSchedules({ lr: warmup(100, cosine(10_000)) })`
   * @throws AdakitError for an unknown or boolean hyperparameter, or a malformed schedule
   */
  withSchedules(schedules: Schedules): Optimizer {
    const parsed = parseSchedules(mainRule(this.node), schedules);
    return new Optimizer(mapRule(this.node, (rule) => ({ ...rule, schedules: parsed })));
  }

  /**
   * The optimizer as JSON, for states and files; a factory's `restore` reads it.
   *
   * @param parameters turns matches by functions into lists of names; without it they cannot be written
   */
  toConfig(parameters: readonly ParameterSpec[] = []): OptimizerConfig {
    return nodeConfig(this.node, parameters);
  }
}

/**
 * Gives some parameters an optimizer or hyperparameters of their own. Where several groups choose a parameter, the later
 * adds to the earlier.
 *
 * @example
 * ```ts
 * groups([{ match: matrices, optimizer: muon({ lr: 0.02 }) }, { match: /bias$/, hyperparameters: { weightDecay: 0 } }], adam())
 * ```
 * @throws AdakitError naming the hyperparameter that is unknown or out of range
 */
export function groups(list: readonly ParameterGroup[], rest: Optimizer): Optimizer {
  const names = new Set<string>();
  const nodes = list.map((group, i): GroupNode => {
    const { name, match, optimizer, hyperparameters = {}, schedules = {} } = group;
    const label = name ?? `group${i + 1}`;
    const unknown = Object.keys(group).filter((key) => !GROUP_KEYS.includes(key));
    if (unknown.length > 0) {
      throw new AdakitError(
        'invalid-plan',
        `the group "${label}" has ${unknown.map((key) => `"${key}"`).join(', ')}, which means nothing; ` +
          `a group has ${GROUP_KEYS.join(', ')}. What goes around a rule goes into its optimizer: ` +
          'optimizer: freezeRows([0], adam())',
      );
    }
    if (names.has(label) || label === 'all') {
      throw new AdakitError('invalid-plan', `two groups have the name "${label}", or it is "all"; give each its own`);
    }
    names.add(label);
    return {
      name: label,
      match,
      ...(optimizer && { optimizer: requireOptimizer(`the group "${label}"`, optimizer).node }),
      hyperparameters,
      schedules,
    };
  });
  const node: OptimizerNode = { kind: 'groups', groups: nodes, rest: requireOptimizer('groups()', rest).node };
  // Bad values in a group are an error now, not when the first parameter matches.
  for (const group of nodes) applyGroup(group, node.rest);
  return new Optimizer(node);
}

const GROUP_KEYS = ['name', 'match', 'optimizer', 'hyperparameters', 'schedules'];

/**
 * An optimizer that somebody has passed.
 *
 * @param what names the argument in the error
 * @throws AdakitError for `adam` in the place of `adam()`, and anything else that is no optimizer
 */
export function requireOptimizer(what: string, value: unknown): Optimizer {
  if (value instanceof Optimizer) return value;
  const called =
    typeof value === 'function' && 'optimizerName' in value
      ? `, not the function: ${String(value.optimizerName)}()`
      : '';
  throw new AdakitError('invalid-plan', `${what} needs an optimizer${called || `, got ${String(value)}`}`);
}

/** A piece of a parameter's optimizer. */
export type ChainLink = { readonly kind: 'rule' | 'wrapper' } & Configured;

/** What applies to one parameter: pieces from the outermost to the rule, and which groups chose it. */
export interface ResolvedChain {
  readonly chain: readonly ChainLink[];
  /**
   * Names of the groups that chose it, `*` for having been left to the rest of groups around them; parameters with the same
   * path have the same chain.
   */
  readonly path: string;
  /** Of each piece in the chain: the path of the group that it was written in, whoever else it is for. */
  readonly owners: readonly string[];
}

/** The optimizer of one parameter. */
export function resolveChain(node: OptimizerNode, parameter: ParameterSpec): ResolvedChain {
  if (node.kind === 'rule') return { chain: [node], path: '', owners: [''] };
  if (node.kind === 'wrapper') {
    const { chain, path, owners } = resolveChain(node.inner, parameter);
    return { chain: [node, ...chain], path, owners: ['', ...owners] };
  }
  const chosen = node.groups.filter(({ match }) => matches(match, parameter));
  const inner = chosen.reduce<OptimizerNode>((rest, group) => applyGroup(group, rest), node.rest);
  const { chain, path, owners } = resolveChain(inner, parameter);
  const names = chosen.map(({ name }) => name);
  const left = names.length === 0 && path !== '';
  // A group without an optimizer changes the rule alone: wrappers stay those of the rest.
  const writer = chosen.findLast(({ optimizer }) => optimizer !== undefined)?.name;
  return {
    chain,
    path: [...(left ? ['*'] : names), path].join('/'),
    owners: chain.map(({ kind }, i) => {
      const within = kind === 'rule' ? names : writer === undefined ? [] : [writer];
      return [...within, owners[i]].join('/');
    }),
  };
}

/** What a group makes of the optimizer that its parameters would have without it. */
export function applyGroup(group: GroupNode, rest: OptimizerNode): OptimizerNode {
  const base = group.optimizer ?? rest;
  const { hyperparameters, initial = hyperparameters, schedules } = group;
  if (Object.keys(hyperparameters).length === 0 && Object.keys(schedules).length === 0) return base;
  return mapRule(base, (rule) => ({
    ...rule,
    hyperparameters: parse(rule, { ...rule.hyperparameters, ...hyperparameters }, 'perStep'),
    initial: parse(rule, { ...rule.initial, ...lasting(rule, initial) }, 'atConstruction'),
    schedules: { ...rule.schedules, ...parseSchedules(rule, schedules) },
  }));
}

/** What a group may start with: a learning rate of zero, for parameters at rest, is only one for the time being. */
function lasting({ component }: Configured, values: HyperparameterValues): HyperparameterValues {
  const definitions = component.hyperparameters;
  return Object.fromEntries(Object.entries(values).filter(([name, value]) => startsWith(definitions, name, value)));
}

/** The rule of the parameters that no group chooses. */
export function mainRule(node: OptimizerNode): Configured {
  if (node.kind === 'rule') return node;
  return mainRule(node.kind === 'wrapper' ? node.inner : node.rest);
}

function mapRule(node: OptimizerNode, change: (rule: Configured) => Configured): OptimizerNode {
  if (node.kind === 'rule') return { kind: 'rule', ...change(node) };
  if (node.kind === 'wrapper') return { ...node, inner: mapRule(node.inner, change) };
  return { ...node, rest: mapRule(node.rest, change) };
}

function changeNode(node: OptimizerNode, changes: HyperparameterValues, { group }: ChangeScope): OptimizerNode {
  const own = Object.entries(changes).filter(([key]) => !key.includes('.'));
  let changed = node;
  for (const [key, value] of Object.entries(changes)) {
    if (key.includes('.')) changed = changeWrapper(changed, key, value);
  }
  if (own.length === 0) return changed;
  const values = Object.fromEntries(own);
  const main = (inner: OptimizerNode): OptimizerNode =>
    mapRule(inner, (rule) => ({
      ...rule,
      hyperparameters: parse(rule, { ...rule.hyperparameters, ...values }, 'perStep'),
    }));
  if (group === undefined) return main(changed);
  let found = group === 'all';
  const inGroups = (inner: OptimizerNode): OptimizerNode => {
    if (inner.kind === 'rule') return inner;
    if (inner.kind === 'wrapper') return { ...inner, inner: inGroups(inner.inner) };
    const list = inner.groups.map((member): GroupNode => {
      if (group !== 'all' && member.name !== group) return member;
      found = true;
      if (member.optimizer === undefined) {
        const { hyperparameters, initial = hyperparameters } = member;
        return { ...member, hyperparameters: { ...hyperparameters, ...values }, initial };
      }
      const rule = mainRule(member.optimizer);
      const known = Object.fromEntries(
        own.filter(([key]) => group !== 'all' || Object.hasOwn(rule.hyperparameters, key)),
      );
      return { ...member, optimizer: changeNode(member.optimizer, known, {}) };
    });
    const result = { ...inner, groups: list, rest: inGroups(inner.rest) };
    for (const member of list) applyGroup(member, result.rest);
    return result;
  };
  const result = inGroups(changed);
  if (!found) {
    const names = groupNames(changed);
    throw new AdakitError(
      'unknown-parameter',
      `there is no group "${group}"; ${names.length === 0 ? 'this optimizer has no groups' : `the groups are ${names.join(', ')}`}`,
    );
  }
  return group === 'all' ? main(result) : result;
}

function groupNames(node: OptimizerNode): string[] {
  if (node.kind === 'rule') return [];
  if (node.kind === 'wrapper') return groupNames(node.inner);
  return [...node.groups.map(({ name }) => name), ...groupNames(node.rest)];
}

function changeWrapper(node: OptimizerNode, key: string, value: number | boolean | string): OptimizerNode {
  const [wrapper, name] = key.split('.', 2);
  const known: string[] = [];
  const visit = (inner: OptimizerNode): OptimizerNode => {
    if (inner.kind === 'rule') return inner;
    if (inner.kind === 'groups') return { ...inner, rest: visit(inner.rest) };
    known.push(inner.component.name);
    if (inner.component.name !== wrapper) return { ...inner, inner: visit(inner.inner) };
    return { ...inner, hyperparameters: parse(inner, { ...inner.hyperparameters, [name]: value }, 'perStep') };
  };
  const changed = visit(node);
  if (known.includes(wrapper)) return changed;
  const suggestion = closestName(wrapper, known);
  throw new AdakitError(
    'unknown-hyperparameter',
    `unknown hyperparameter "${key}": nothing named "${wrapper}" is around this optimizer` +
      (suggestion === undefined ? '' : `, did you mean "${suggestion}"?`),
  );
}

export function parse(
  { component }: Configured,
  values: HyperparameterValues,
  when: 'atConstruction' | 'perStep',
): HyperparameterValues {
  return Object.freeze(parseHyperparameters(component.name, component.hyperparameters, values, when));
}

export function parseSchedules({ component, hyperparameters }: Configured, schedules: Schedules): Schedules {
  return Object.fromEntries(
    Object.entries(schedules).map(([name, schedule]) => {
      if (typeof hyperparameters[name] === 'number') return [name, checkSchedule(name, schedule)] as const;
      const numeric = Object.keys(hyperparameters).filter((key) => typeof hyperparameters[key] === 'number');
      throw new AdakitError(
        'unknown-hyperparameter',
        `${component.name}: cannot schedule "${name}", the numeric hyperparameters are ${numeric.join(', ')}`,
      );
    }),
  );
}

function nodeText(node: OptimizerNode): string {
  if (node.kind === 'rule') return node.component.name;
  if (node.kind === 'wrapper') return `${node.component.name}(${nodeText(node.inner)})`;
  const list = node.groups.map((group) => group.optimizer && nodeText(group.optimizer)).filter(Boolean);
  return `groups(${[...list, nodeText(node.rest)].join(', ')})`;
}

function nodeConfig(node: OptimizerNode, parameters: readonly ParameterSpec[]): OptimizerConfig {
  if (node.kind === 'groups') {
    return {
      kind: 'groups',
      groups: node.groups.map(({ name, match, optimizer, hyperparameters, initial, schedules }) => ({
        name,
        match: matchData(
          match,
          parameters.filter((parameter) => matches(match, parameter)).map((parameter) => parameter.name),
        ),
        ...(optimizer && { optimizer: nodeConfig(optimizer, parameters) }),
        hyperparameters,
        ...(initial && { initial }),
        schedules,
      })),
      rest: nodeConfig(node.rest, parameters),
    };
  }
  const { kind, component, hyperparameters, initial, schedules } = node;
  const own = { kind, name: component.name, hyperparameters, initial, schedules };
  return node.kind === 'wrapper' ? { ...own, inner: nodeConfig(node.inner, parameters) } : own;
}
