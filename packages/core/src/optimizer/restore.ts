import type { Component } from '../component/component.js';
import { AdakitError } from '../errors.js';
import { knowAllKinds } from '../schedule/parse.js';
import { matchFromData } from './match.js';
import {
  applyGroup,
  Optimizer,
  parse,
  parseSchedules,
  type Configured,
  type OptimizerConfig,
  type OptimizerNode,
} from './optimizer.js';

/**
 * The same pieces as `optimizer` has, with all settings of a saved one, groups included.
 *
 * @throws AdakitError `state-mismatch` when it is made of other pieces, or for values that these do not accept
 */
export function restoreOptimizer(optimizer: Optimizer, config: OptimizerConfig): Optimizer {
  knowAllKinds();
  const components = new Map<string, Component>();
  collectComponents(optimizer.node, components);
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
function chainText(node: OptimizerNode): string {
  if (node.kind === 'rule') return node.component.name;
  return node.kind === 'wrapper' ? `${node.component.name}(${chainText(node.inner)})` : chainText(node.rest);
}

function configChainText(config: OptimizerConfig): string {
  if (config.kind === 'groups') return configChainText(config.rest);
  return config.inner === undefined ? config.name : `${config.name}(${configChainText(config.inner)})`;
}

function collectComponents(node: OptimizerNode, into: Map<string, Component>): void {
  if (node.kind === 'groups') {
    for (const { optimizer } of node.groups) if (optimizer) collectComponents(optimizer, into);
    collectComponents(node.rest, into);
    return;
  }
  into.set(`${node.kind} ${node.component.name}`, node.component);
  if (node.kind === 'wrapper') collectComponents(node.inner, into);
}

function nodeFromConfig(config: OptimizerConfig, components: ReadonlyMap<string, Component>): OptimizerNode {
  if (config.kind === 'groups') {
    const node: OptimizerNode = {
      kind: 'groups',
      groups: config.groups.map(({ name, match, optimizer, hyperparameters, initial, schedules }) => ({
        name,
        match: matchFromData(match),
        ...(optimizer && { optimizer: nodeFromConfig(optimizer, components) }),
        hyperparameters,
        ...(initial && { initial }),
        schedules,
      })),
      rest: nodeFromConfig(config.rest, components),
    };
    for (const group of node.groups) applyGroup(group, node.rest);
    return node;
  }
  const component = components.get(`${config.kind} ${config.name}`);
  if (component === undefined) {
    throw new AdakitError(
      'state-mismatch',
      `the state uses the ${config.kind === 'rule' ? 'optimizer' : 'wrapper'} "${config.name}", which this run does not have; ` +
        'make the run with it, in the same group',
    );
  }
  const configured: Configured = {
    component,
    hyperparameters: config.hyperparameters,
    initial: config.initial,
    schedules: {},
  };
  const parsed: Configured = {
    component,
    hyperparameters: parse(configured, config.hyperparameters, 'perStep'),
    initial: parse(configured, config.initial, 'atConstruction'),
    schedules: parseSchedules(configured, config.schedules),
  };
  if (config.kind === 'rule' || config.inner === undefined) return { kind: 'rule', ...parsed };
  return { kind: 'wrapper', ...parsed, inner: nodeFromConfig(config.inner, components) };
}
