import type { Component } from '../component/component.js';
import type { HyperparameterValues } from './hyperparameters.js';
import type { ParameterSpec } from './match.js';
import {
  changedValues,
  configOf,
  type Configured,
  type OptimizerConfig,
  type OptimizerNode,
  type ResolvedChain,
  type Schedules,
  type TreeNode,
} from './node.js';

/** Something around an optimizer. */
export class WrapperNode implements TreeNode, Configured {
  readonly kind = 'wrapper';
  readonly component: Component;
  readonly hyperparameters: HyperparameterValues;
  readonly initial: HyperparameterValues;
  readonly schedules: Schedules;
  readonly inner: OptimizerNode;

  constructor({ component, hyperparameters, initial, schedules }: Configured, inner: OptimizerNode) {
    this.component = component;
    this.hyperparameters = hyperparameters;
    this.initial = initial;
    this.schedules = schedules;
    this.inner = inner;
  }

  get text(): string {
    return `${this.component.name}(${this.inner.text})`;
  }

  get rule(): Configured {
    return this.inner.rule;
  }

  get pieces(): readonly Configured[] {
    return [this, ...this.inner.pieces];
  }

  get wrappers(): readonly string[] {
    return [this.component.name, ...this.inner.wrappers];
  }

  get groupNames(): readonly string[] {
    return this.inner.groupNames;
  }

  resolve(parameter: ParameterSpec): ResolvedChain {
    const { chain, path, owners } = this.inner.resolve(parameter);
    return { chain: [this, ...chain], path, owners: ['', ...owners] };
  }

  checkGroups(parameters: readonly ParameterSpec[]): void {
    this.inner.checkGroups(parameters);
  }

  mapRule(change: (rule: Configured) => Configured): OptimizerNode {
    return this.#around(this.inner.mapRule(change));
  }

  changeWrapper(name: string, changes: HyperparameterValues): OptimizerNode {
    if (this.component.name !== name) return this.#around(this.inner.changeWrapper(name, changes));
    const { component, initial, schedules, inner } = this;
    return new WrapperNode({ component, hyperparameters: changedValues(this, changes), initial, schedules }, inner);
  }

  change(changes: HyperparameterValues, group: string | undefined): OptimizerNode {
    return this.#around(this.inner.change(changes, group));
  }

  config(parameters: readonly ParameterSpec[]): OptimizerConfig {
    return { ...configOf(this), inner: this.inner.config(parameters) };
  }

  #around(inner: OptimizerNode): WrapperNode {
    return new WrapperNode(this, inner);
  }
}
