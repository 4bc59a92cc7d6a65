import type { Component } from '../component/component.js';
import { AdakitError } from '../errors.js';
import { parseSchedule } from '../schedule/parse.js';
import { GroupsNode } from './groups-node.js';
import { parseHyperparameters } from './hyperparameter-values.js';
import type { MatchData, ParameterMatch, ParameterSpec } from './match.js';
import { matches, matchFromData } from './matching.js';
import {
  parseSchedules,
  RuleNode,
  type Configured,
  type OptimizerConfig,
  type OptimizerNode,
  type Schedules,
  type SchedulesData,
} from './node.js';
import { Optimizer } from './optimizer.js';
import { WrapperNode } from './wrapper.js';

/**
 * The same pieces as `optimizer` has, with all settings of a saved one, groups included.
 *
 * @param parameters names of those that the saved one was for. A group that is saved as a list of names has those of them that it
 * chose; of others, which may join later, `optimizer`'s group of that name decides. Default: they are in no such group
 * @throws AdakitError `state-mismatch` when it is made of other pieces, or for values that these do not accept
 */
export function restoreOptimizer(
  optimizer: Optimizer,
  config: OptimizerConfig,
  parameters?: readonly string[],
): Optimizer {
  const components = optimizer.node.pieces.map(({ component }) => component);
  const [mine, saved] = [chainText(optimizer.node), configChainText(config)];
  if (mine !== saved) {
    throw new AdakitError(
      'state-mismatch',
      `the state belongs to the optimizer "${saved}", this one is "${mine}"; ` +
        'make the run with the same pieces to resume it, or adapt the state with adaptState()',
    );
  }
  return new Optimizer(
    nodeFromConfig(config, { components, known: parameters && new Set(parameters) }, optimizer.node),
  );
}

/** What a saved optimizer is restored with. */
interface Given {
  readonly components: readonly Component[];
  /** Names of the parameters that it was for. */
  readonly known: ReadonlySet<string> | undefined;
}

/** The pieces around the main rule; groups are settings, which a state replaces. */
function chainText({ wrappers, rule }: OptimizerNode): string {
  return wrappers.reduceRight((inner, name) => `${name}(${inner})`, rule.component.name);
}

function configChainText(config: OptimizerConfig): string {
  if (config.kind === 'groups') return configChainText(config.rest);
  return config.inner === undefined ? config.name : `${config.name}(${configChainText(config.inner)})`;
}

/** @param mine the node in its place */
function nodeFromConfig(config: OptimizerConfig, given: Given, mine: OptimizerNode | undefined): OptimizerNode {
  const { components, known } = given;
  if (config.kind === 'groups') {
    const own = mine?.kind === 'groups' ? mine : undefined;
    return new GroupsNode(
      config.groups.map(({ name, match, optimizer, hyperparameters, initial, schedules }) => {
        const group = own?.groups.find((each) => each.name === name);
        return {
          name,
          match: restoredMatch(match, known, group?.match),
          ...(optimizer && { optimizer: nodeFromConfig(optimizer, given, group?.optimizer) }),
          hyperparameters,
          ...(initial && { initial }),
          schedules: schedulesFrom(schedules),
        };
      }),
      nodeFromConfig(config.rest, given, own?.rest),
    );
  }
  const { kind, name, hyperparameters, initial, schedules, inner } = config;
  const named = components.filter((each) => each.name === name && each.isRule === (kind === 'rule'));
  // Of several, such as `freezeRows` of other rows, that which has as many hyperparameters.
  const { length } = Object.keys(hyperparameters);
  const component = named.find((each) => Object.keys(each.hyperparameters).length === length) ?? named.at(0);
  if (!component) {
    throw new AdakitError(
      'state-mismatch',
      `the state uses the ${kind} "${name}", which this run does not have; ` + 'make the run with it, in its group',
    );
  }
  const saved = { component, initial };
  const parsed: Configured = {
    component,
    hyperparameters: parseHyperparameters(saved, hyperparameters, 'perStep'),
    initial: parseHyperparameters(saved, initial, 'atConstruction'),
    schedules: parseSchedules(saved, schedulesFrom(schedules)),
  };
  if (inner === undefined) return new RuleNode(parsed);
  return new WrapperNode(parsed, nodeFromConfig(inner, given, mine?.kind === 'wrapper' ? mine.inner : undefined));
}

/** The matches that {@link restoredMatch} has put saved names before: states are loaded any number of times. */
const originals = /* @__PURE__ */ new WeakMap<(parameter: ParameterSpec) => boolean, ParameterMatch>();

/** A saved match. Of what a list of names would choose besides, states do not know. */
function restoredMatch(
  saved: MatchData,
  known: ReadonlySet<string> | undefined,
  mine: ParameterMatch | undefined,
): ParameterMatch {
  const match = matchFromData(saved);
  if (known === undefined || typeof match !== 'function' || mine === undefined) return match;
  const original = typeof mine === 'function' ? (originals.get(mine) ?? mine) : mine;
  const restored = (parameter: ParameterSpec): boolean =>
    known.has(parameter.name) ? match(parameter) : matches(original, parameter);
  originals.set(restored, original);
  return restored;
}

function schedulesFrom(data: SchedulesData): Schedules {
  return Object.fromEntries(Object.entries(data).map(([name, schedule]) => [name, parseSchedule(name, schedule)]));
}
