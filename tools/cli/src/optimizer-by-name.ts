import { camelCaseKeys, type Optimizer } from '@adakit/core';
import { ruleOf } from './optimizers.js';
import * as rules from './rules.js';

/**
 * An optimizer that comes with the command by name, as files name it.
 *
 * @param hyperparameters camelCase or snake_case
 * @throws UsageError for an unknown name; AdakitError for bad hyperparameters
 */
export function optimizerByName(name: string, hyperparameters: Readonly<Record<string, unknown>>): Optimizer {
  return ruleOf(name, rules).load(camelCaseKeys(name, hyperparameters));
}
