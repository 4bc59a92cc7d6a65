import { camelCaseKeys } from '@adakit/core';
import { isRuleName, loadOptimizer, type OptimizerPlugin } from '@adakit/plugins';
import type { OptimizerByName } from '@adakit/testing';
import { included } from '../included.js';
import { UsageError } from '../usage-error.js';

/** A rule that a file names and that has not been looked for. */
class NotLoaded extends Error {
  readonly rule: string;

  constructor(rule: string) {
    super(`${rule} has not been loaded`);
    this.rule = rule;
  }
}

/** The rules of recorded runs: those that come with the command, and those of packages that are installed. */
export class RecordedRules {
  readonly #loaded = new Map<string, OptimizerPlugin>();

  /** @param plugins packages and modules to look in first. @throws PluginError for one that cannot be loaded */
  static async of(plugins: readonly string[]): Promise<RecordedRules> {
    const rules = new RecordedRules();
    for (const name of plugins) {
      const { plugin } = await loadOptimizer(name, { included });
      rules.#loaded.set(plugin.optimizerName, plugin);
    }
    return rules;
  }

  /**
   * Makes something of rules by their names, which are loaded as they are asked for.
   *
   * @throws PluginError `unknown-optimizer` with what is installed; AdakitError for hyperparameters that a rule does not have
   */
  async make<T>(of: (byName: OptimizerByName) => T): Promise<T> {
    for (;;) {
      try {
        return of((name, given) => this.#rule(name).load(camelCaseKeys(name, given)));
      } catch (error) {
        if (!(error instanceof NotLoaded)) throw error;
        this.#loaded.set(error.rule, await found(error.rule));
      }
    }
  }

  #rule(name: string): OptimizerPlugin {
    const plugin = this.#loaded.get(name);
    if (plugin === undefined) throw new NotLoaded(name);
    return plugin;
  }
}

async function found(rule: string): Promise<OptimizerPlugin> {
  if (!isRuleName(rule)) throw new UsageError(`${JSON.stringify(rule)} is no name of an optimizer`);
  return (await loadOptimizer(rule, { included })).plugin;
}
