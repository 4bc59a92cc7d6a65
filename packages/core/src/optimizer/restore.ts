import type { Component } from '../component/component.js';
import { AdakitError } from '../errors.js';
import { parseSchedule } from '../schedule/parse.js';
import { GroupsNode } from './groups-node.js';
import { parseHyperparameters } from './hyperparameter-values.js';
import { matchFromData } from './matching.js';
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
 * @throws AdakitError `state-mismatch` when it is made of other pieces, or for values that these do not accept
 */
export function restoreOptimizer(optimizer: Optimizer, config: OptimizerConfig): Optimizer {
  const components = optimizer.node.pieces.map(({ component }) => component);
  const [mine, saved] = [chainText(optimizer.node), configChainText(config)];
  if (mine !== saved) {
    throw new AdakitError(
      'state-mismatch',
      `the state belongs to the optimizer "${saved}", this one is "${mine}"; ` +
        'make the run with the same pieces to resume it, or adapt the state with adaptState()',
    );
  }
  return new Optimizer(nodeFromConfig(config, components));
}

/** The pieces around the main rule; groups are settings, which a state replaces. */
function chainText({ wrappers, rule }: OptimizerNode): string {
  return wrappers.reduceRight((inner, name) => `${name}(${inner})`, rule.component.name);
}

function configChainText(config: OptimizerConfig): string {
  if (config.kind === 'groups') return configChainText(config.rest);
  return config.inner === undefined ? config.name : `${config.name}(${configChainText(config.inner)})`;
}

function nodeFromConfig(config: OptimizerConfig, components: readonly Component[]): OptimizerNode {
  if (config.kind === 'groups') {
    return new GroupsNode(
      config.groups.map(({ name, match, optimizer, hyperparameters, initial, schedules }) => ({
        name,
        match: matchFromData(match),
        ...(optimizer && { optimizer: nodeFromConfig(optimizer, components) }),
        hyperparameters,
        ...(initial && { initial }),
        schedules: schedulesFrom(schedules),
      })),
      nodeFromConfig(config.rest, components),
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
  return inner ? new WrapperNode(parsed, nodeFromConfig(inner, components)) : new RuleNode(parsed);
}

function schedulesFrom(data: SchedulesData): Schedules {
  return Object.fromEntries(Object.entries(data).map(([name, schedule]) => [name, parseSchedule(name, schedule)]));
}
