import type { Optimizer } from '@adakit/core';
import type { OptimizerPlugin } from '@adakit/plugins';
import { UsageError } from './usage-error.js';

/**
 * A rule with its settings.
 *
 * @param how a setting is given, for those that have no default
 * @throws UsageError for settings that have to be given and are not; AdakitError for those that the rule does not take
 */
export function loadRule(
  plugin: OptimizerPlugin,
  settings: Readonly<Record<string, unknown>>,
  how: (name: string) => string = (name) => `--set ${name}=NUMBER`,
): Optimizer {
  const { optimizerName, hyperparameters } = plugin;
  const missing = Object.keys(hyperparameters).find(
    (name) => hyperparameters[name].default === undefined && !Object.hasOwn(settings, name),
  );
  if (missing !== undefined)
    throw new UsageError(`${optimizerName}: ${missing} is required; give it with ${how(missing)}`);
  return plugin.load(settings);
}
