import type { Optimizer, OptimizerConfig, ParameterSpec, Plan, TrainingState } from '@adakit/core';
import { checkOutline, type StateOutline } from '@adakit/core/states';
import {
  installHint,
  isPluginName,
  isRuleName,
  loadOptimizer,
  PluginError,
  type OptimizerPlugin,
} from '@adakit/plugins';
import { outlineOf } from '@adakit/state';
import type { OpenState } from '@adakit/state/node';
import { optimizerOf, ruleNames, type Rules } from '../optimizers.js';
import { included } from '../included.js';
import { UsageError } from '../usage-error.js';

/** What a file says of the optimizer that wrote it. */
export interface SavedOptimizer {
  readonly optimizer: OptimizerConfig;
  readonly versions: TrainingState['versions'];
  /** Of the file, for messages. */
  readonly path: string;
}

/** A rule of a state that is not there: who only looks at the state can do without. */
export class MissingRule extends UsageError {
  /** What helps. */
  readonly advice: string;

  constructor(path: string, rule: string, advice: string) {
    super(`${path}: its optimizer '${rule}' is not here; ${advice}`);
    this.advice = advice;
  }
}

/**
 * The optimizer of a state file with all its settings, and its plan for the parameters there, without reading a tensor.
 *
 * @param plugins packages and modules to look for its rules in first
 * @throws MissingRule; UsageError for a wrapper unknown to this command; AdakitError when the tensors in the file are not those
 * that it keeps
 */
export async function savedOptimizer(
  state: Pick<OpenState, 'document' | 'tensors' | 'path'>,
  plugins: readonly string[],
): Promise<{ readonly optimizer: Optimizer; readonly plan: Plan }> {
  const { document, tensors, path } = state;
  const outline = outlineOf(document, tensors, path);
  const rules = await savedRules({ ...outline, versions: document.origin.versions, path }, plugins);
  return checkOutline(outline, optimizerOf(outline.optimizer, rules), specsOf(outline));
}

/**
 * The rules of a saved optimizer: of the packages that the file names, those that come with the command, and those that are
 * installed.
 *
 * @param plugins packages and modules to look in first
 * @throws MissingRule with what to install; UsageError for what is no name of a rule; PluginError for a plugin that cannot be loaded
 */
export async function savedRules(
  { optimizer, versions = {}, path }: SavedOptimizer,
  plugins: readonly string[],
): Promise<Rules> {
  const found: Record<string, OptimizerPlugin> = {};
  for (const name of plugins) {
    const { plugin } = await loadOptimizer(name, { included });
    found[plugin.optimizerName] = plugin;
  }
  for (const rule of ruleNames(optimizer)) {
    if (Object.hasOwn(found, rule)) continue;
    if (!isRuleName(rule)) throw new UsageError(`${path}: ${JSON.stringify(rule)} is no name of an optimizer`);
    const plugin = await foundRule(rule, Object.keys(versions).filter(isPluginName));
    if (plugin === undefined) throw new MissingRule(path, rule, adviceFor(versions));
    found[rule] = plugin;
  }
  return found;
}

function adviceFor(versions: NonNullable<TrainingState['versions']>): string {
  return installHint(versions) ?? 'it names no package: say with --plugin which package or module has it';
}

/** @param packages that the state names */
async function foundRule(rule: string, packages: readonly string[]): Promise<OptimizerPlugin | undefined> {
  const own = Object.hasOwn(included, rule);
  for (const name of packages) {
    // A rule that comes with the command may stand beside one of a package, which does not have it.
    const { plugin } = (await unlessMissing(loadOptimizer(`${name}#${rule}`), own)) ?? {};
    if (plugin?.optimizerName === rule) return plugin;
  }
  const { plugin } = (await unlessMissing(loadOptimizer(rule, { included }))) ?? {};
  return plugin;
}

async function unlessMissing<T>(loading: Promise<T>, orInvalid = false): Promise<T | undefined> {
  try {
    return await loading;
  } catch (error) {
    if (error instanceof PluginError && (error.code === 'unknown-optimizer' || orInvalid)) return undefined;
    throw error;
  }
}

/** The parameters of a file as optimizers see them. */
export function specsOf({ parameters }: Pick<StateOutline, 'parameters'>): ParameterSpec[] {
  return Object.entries(parameters).map(([name, { shape, role, units }]) => ({
    name,
    shape,
    ...(role && { role }),
    ...(units && { units }),
  }));
}
