import type { Component } from '../component/component.js';
import { AdakitError, didYouMean, shown } from '../errors.js';
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

  change(changes: HyperparameterValues, group: string | undefined): OptimizerNode {
    // What is no object is a name that no hyperparameter has.
    if (Object(changes) !== changes) return this.change({ [shown(changes)]: 0 }, group);
    const { component, inner, wrappers } = this;
    const own = new Map<string, HyperparameterValues[string]>();
    const others = new Map<string, HyperparameterValues[string]>();
    for (const [key, value] of Object.entries(changes)) {
      const [first, name] = key.split('.', 2) as [string, string?];
      if (name !== undefined && !wrappers.includes(first)) {
        throw new AdakitError(
          'unknown-hyperparameter',
          `unknown hyperparameter "${key}": nothing named "${first}" is around this optimizer${didYouMean(first, wrappers)}`,
        );
      }
      if (name !== undefined && first === component.name) own.set(name, value);
      else others.set(key, value);
    }
    const { initial, schedules } = this;
    const hyperparameters = changedValues(this, Object.fromEntries(own));
    const changed = { component, hyperparameters, initial, schedules };
    return new WrapperNode(changed, others.size === 0 ? inner : inner.change(Object.fromEntries(others), group));
  }

  config(parameters: readonly ParameterSpec[]): OptimizerConfig {
    return { ...configOf(this), inner: this.inner.config(parameters) };
  }

  #around(inner: OptimizerNode): WrapperNode {
    return new WrapperNode(this, inner);
  }
}
