import { PluginError } from './error.js';

/** What the field `adakit` of a plugin's package.json says of an optimizer. */
export interface OptimizerManifest {
  /** Where the rule is published: a URL. */
  readonly paper?: string;
  /** Recommended hyperparameters by task, e.g. `{ "images": { "lr": 1e-3 } }`. */
  readonly settings?: Readonly<Record<string, Readonly<Record<string, number | boolean | string>>>>;
  /** Files of recorded runs of an independent implementation, from the package's folder. */
  readonly references?: readonly string[];
}

/** What is known of an installed package without loading it. */
export interface PluginPackage {
  readonly name: string;
  readonly version: string;
  readonly folder: string;
  /** By the name of the rule. A package that says nothing has one, called as the package is. */
  readonly optimizers: Readonly<Record<string, OptimizerManifest>>;
}

const NAME = /^(?:@[^/\\]+\/)?adakit-optimizer-([^/\\]+)$/;

/** NAME of a package `adakit-optimizer-NAME`, scoped or not; undefined for others. */
export const nameIn = (packageName: string): string | undefined => NAME.exec(packageName)?.[1];

/** Whether a package's name says that it is an optimizer: `adakit-optimizer-NAME`, `@scope/adakit-optimizer-NAME`. */
export function isPluginName(name: string): boolean {
  return NAME.test(name);
}

/**
 * Whether a text is the name of a rule alone, and not a path or a package, which {@link loadOptimizer} takes as well: what a
 * file says must not decide which modules are run.
 */
export function isRuleName(text: string): boolean {
  return /^[A-Za-z][\w-]*$/.test(text);
}

/**
 * Reads what a package.json says of its optimizers.
 *
 * @param json its content
 * @throws PluginError `invalid-plugin` for a field `adakit` that is not as it should be
 */
export function pluginPackage(json: unknown, folder: string): PluginPackage {
  const { name = folder, version = '0.0.0', adakit } = json as { name?: string; version?: string; adakit?: unknown };
  const fail = (problem: string): never => {
    throw new PluginError('invalid-plugin', `${name}: in package.json, ${problem}`);
  };
  if (adakit === undefined) {
    return { name, version, folder, optimizers: { [nameIn(name) ?? name.replace(/^@[^/]+\//, '')]: {} } };
  }
  if (!isRecord(adakit) || !isRecord(adakit.optimizers)) {
    return fail('adakit must be { "optimizers": { "NAME": { "paper", "settings" } } }');
  }
  for (const [rule, entry] of Object.entries(adakit.optimizers)) {
    if (!isRecord(entry)) return fail(`adakit.optimizers.${rule} must be an object`);
    const { paper, settings = {}, references = [] } = entry;
    if (paper !== undefined && (typeof paper !== 'string' || !URL.canParse(paper))) {
      return fail(`adakit.optimizers.${rule}.paper must be a URL`);
    }
    if (!isRecord(settings) || !Object.values(settings).every(isRecord)) {
      return fail(`adakit.optimizers.${rule}.settings must be { "TASK": { "HYPERPARAMETER": value } }`);
    }
    if (!Array.isArray(references) || !references.every((file) => typeof file === 'string')) {
      return fail(`adakit.optimizers.${rule}.references must be a list of files`);
    }
  }
  return { name, version, folder, optimizers: adakit.optimizers as Readonly<Record<string, OptimizerManifest>> };
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
