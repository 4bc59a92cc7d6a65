import {
  AdakitError,
  optimizerState,
  restoreOptimizer,
  type HyperparameterValues,
  type Optimizer,
  type OptimizerState,
} from '@adakit/core';
import type { serialization } from '@tensorflow/tfjs-core';

/** What {@link registerOptimizers} needs of an optimizer: `adam` and every other result of `defineOptimizer` has it. */
export interface OptimizerLoader {
  readonly optimizerName: string;
  load(hyperparameters: HyperparameterValues): Optimizer;
}

/** Known optimizers: from the hyperparameters at construction to the optimizer. */
const known = new Map<string, (initial: HyperparameterValues) => Optimizer>();

export function rememberLoader({ optimizerName, load }: OptimizerLoader): void {
  known.set(optimizerName, load);
}

export function rememberOptimizer(optimizer: Optimizer): void {
  known.set(optimizer.name, (initial) => optimizer.restore(initial, initial, []));
}

/**
 * An optimizer as a TensorFlow.js configuration. Layers models camel-case the strings of a configuration when they are
 * loaded, so that `dense_1/kernel` becomes `dense1/kernel`; groups, which hold such names, travel as JSON without
 * underscores, and schedules with them.
 */
export function toConfig(optimizer: Optimizer): serialization.ConfigDict {
  const { name, hyperparameters, initial, groups, schedules } = optimizerState(optimizer);
  return {
    name,
    hyperparameters: { ...hyperparameters },
    initial: { ...initial },
    settings: JSON.stringify({ groups, schedules }).replaceAll('_', '\\u005f'),
  };
}

/**
 * The optimizer that {@link toConfig} described.
 *
 * @throws AdakitError when the configuration is malformed or its optimizer is not known
 */
export function fromConfig(config: serialization.ConfigDict): Optimizer {
  const { name, hyperparameters, initial, settings } = config;
  const create = typeof name === 'string' ? known.get(name) : undefined;
  if (create === undefined) {
    throw new AdakitError(
      'state-mismatch',
      `the configuration asks for the optimizer ${JSON.stringify(name)}, known are ${[...known.keys()].join(', ') || 'none'}; ` +
        'pass it to registerOptimizers() before loading',
    );
  }
  // Core validates it as a state without parameters. The rule may be a later version than the one that was saved.
  const optimizer = create(initial as HyperparameterValues).with(hyperparameters as HyperparameterValues);
  const { programHash } = optimizerState(optimizer);
  const saved = { name, hyperparameters, initial, ...parse(settings), programHash } as OptimizerState;
  return restoreOptimizer({ optimizer: saved, step: 0, parameters: {}, origin: 'tfjs' }, optimizer, {});
}

function parse(settings: unknown): object {
  try {
    return JSON.parse(String(settings)) as object;
  } catch (error) {
    throw new AdakitError('invalid-state', 'the configuration is malformed: settings are not JSON', { cause: error });
  }
}
