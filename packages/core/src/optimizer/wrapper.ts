import type { Component } from '../component/component.js';
import { AdakitError, didYouMean } from '../errors.js';
import type { HyperparameterValues } from './hyperparameters.js';
import type { ParameterSpec } from './match.js';
import {
  changedValues,
  configOf,
  parseSchedules,
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
    const { component, inner, initial, schedules } = this;
    const [own, others] = this.#split(changes);
    const hyperparameters = changedValues(this, Object.fromEntries(own));
    const changed = { component, hyperparameters, initial, schedules };
    return new WrapperNode(changed, others.length === 0 ? inner : inner.change(Object.fromEntries(others), group));
  }

  schedule(all: Schedules): OptimizerNode {
    const { component, inner, hyperparameters, initial } = this;
    const [own, others] = this.#split(all);
    if (own.length > 0 && component.brings?.lossScaling) {
      throw new AdakitError(
        'unknown-hyperparameter',
        `${component.name} follows what it sees of gradients, and no schedule`,
      );
    }
    const schedules = own.length > 0 ? parseSchedules(this, Object.fromEntries(own)) : this.schedules;
    const scheduled = { component, hyperparameters, initial, schedules };
    const around = own.length > 0 && others.length === 0;
    return new WrapperNode(scheduled, around ? inner : inner.schedule(Object.fromEntries(others)));
  }

  /**
   * What is said of hyperparameters of this wrapper, and of all others.
   *
   * @throws AdakitError for the name of a wrapper that is not around the optimizer
   */
  #split<T>(named: Readonly<Record<string, T>>): [own: [string, T][], others: [string, T][]] {
    const { component, wrappers } = this;
    const own: [string, T][] = [];
    const others: [string, T][] = [];
    for (const [key, value] of Object.entries(named)) {
      const [first, name] = key.split('.', 2) as [string, string?];
      if (name !== undefined && !wrappers.includes(first)) {
        throw new AdakitError(
          'unknown-hyperparameter',
          `unknown hyperparameter "${key}": nothing named "${first}" is around this optimizer${didYouMean(first, wrappers)}`,
        );
      }
      if (name !== undefined && first === component.name) own.push([name, value]);
      else others.push([key, value]);
    }
    return [own, others];
  }

  config(parameters: readonly ParameterSpec[]): OptimizerConfig {
    return { ...configOf(this), inner: this.inner.config(parameters) };
  }

  #around(inner: OptimizerNode): WrapperNode {
    return new WrapperNode(this, inner);
  }
}
