import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
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
 * The package.json of a folder; undefined where there is none.
 *
 * @throws PluginError `invalid-plugin` for one that is no JSON object
 */
export function manifestIn(folder: string): Readonly<Record<string, unknown>> | undefined {
  const file = join(folder, 'package.json');
  if (!existsSync(file)) return undefined;
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new PluginError('invalid-plugin', `${file} cannot be read: ${message}`, { cause: error });
  }
  if (!isRecord(json)) throw new PluginError('invalid-plugin', `${file} holds no object`);
  return json;
}

/**
 * Reads what a package.json says of its optimizers.
 *
 * @param json its content
 * @throws PluginError `invalid-plugin` for fields that are not as they should be
 */
export function pluginPackage(json: Readonly<Record<string, unknown>>, folder: string): PluginPackage {
  const { name = folder, version = '0.0.0', adakit } = json;
  if (typeof name !== 'string' || typeof version !== 'string') {
    throw new PluginError('invalid-plugin', `${join(folder, 'package.json')}: name and version must be texts`);
  }
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
