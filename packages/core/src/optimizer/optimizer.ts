import { AdakitError } from '../errors.js';
import type { HyperparameterValues } from './hyperparameters.js';
import type { ParameterSpec } from './match.js';
import type { OptimizerConfig, OptimizerNode, Schedules } from './node.js';

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
    return this.node.rule.component.name;
  }

  /** Hyperparameters of the main rule. */
  get hyperparameters(): HyperparameterValues {
    return this.node.rule.hyperparameters;
  }

  /** Those of the main rule as they were at construction. */
  get initial(): HyperparameterValues {
    return this.node.rule.initial;
  }

  get schedules(): Schedules {
    return this.node.rule.schedules;
  }

  /** The whole tree in a line: `ema(clipByGlobalNorm(adam))`. */
  toString(): string {
    return this.node.text;
  }

  /**
   * The same optimizer with some hyperparameters changed, as by a schedule; the values at construction stay on record.
   * A wrapper's are named with it: `{ 'ema.decay': 0.99 }`.
   *
   * @throws AdakitError naming the hyperparameter that is unknown or out of range, or the group that does not exist
   */
  with(changes: HyperparameterValues, scope: ChangeScope = {}): Optimizer {
    return new Optimizer(this.node.change(changes, scope.group));
  }

  /**
   * The same optimizer with schedules on numeric hyperparameters of the main rule; each multiplies the value there is. They
   * take the place of those that the rule had. A wrapper's are named with it: `{ 'clipByGlobalNorm.maxNorm': linear(…) }`; a call
   * that names some of a wrapper alone leaves the rule's as they are.
   *
   * @example `adam({ lr: 1e-3 }).withSchedules({ lr: warmup(100, cosine(10_000)) })`
   * @throws AdakitError for an unknown or boolean hyperparameter, or a malformed schedule
   */
  withSchedules(schedules: Schedules): Optimizer {
    return new Optimizer(this.node.schedule(schedules));
  }

  /**
   * The optimizer as JSON, for states and files; a factory's `restore` reads it.
   *
   * @param parameters turns matches by functions into lists of names; without it they cannot be written
   */
  toConfig(parameters: readonly ParameterSpec[] = []): OptimizerConfig {
    return this.node.config(parameters);
  }
}

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
