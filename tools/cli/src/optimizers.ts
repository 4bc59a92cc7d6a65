import { adabelief } from '@adakit/adabelief';
import { adabound } from '@adakit/adabound';
import { adadiff } from '@adakit/adadiff';
import { adam } from '@adakit/adam';
import { closestName, type Optimizer } from '@adakit/core';
import { sgd } from '@adakit/sgd';
import { UsageError } from './usage-error.js';

const factories = { adabelief, adabound, adadiff, adam, sgd } as const;

/** Names of the optimizers that the command knows. */
export const optimizerNames = Object.keys(factories) as readonly (keyof typeof factories)[];

/**
 * An optimizer by name, as files name it.
 *
 * @param hyperparameters camelCase or snake_case
 * @throws UsageError for an unknown name; AdakitError for bad hyperparameters
 */
export function optimizerByName(name: string, hyperparameters: Readonly<Record<string, unknown>>): Optimizer {
  const known = optimizerNames.find((candidate) => candidate === name);
  if (known === undefined) {
    const suggestion = closestName(name, optimizerNames);
    throw new UsageError(
      `unknown optimizer "${name}"${suggestion === undefined ? '' : `, did you mean "${suggestion}"?`} (known: ${optimizerNames.join(', ')})`,
    );
  }
  return factories[known].load(hyperparameters);
}
