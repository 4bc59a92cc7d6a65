import { existsSync, statSync } from 'node:fs';
import { isAbsolute, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import {
  kinds,
  optionsProblem,
  suggestion,
  type HyperparameterDefinitions,
  type Optimizer,
  type OptionKind,
  type TrainingState,
} from '@adakit/core';
import { PluginError, requireText } from './error.js';
import { installedOptimizers, installedPackage } from './installed.js';
import {
  isPluginName,
  manifestIn,
  nameIn,
  pluginPackage,
  type OptimizerManifest,
  type PluginPackage,
} from './manifest.js';

/** What an optimizer's package exports, whatever its hyperparameters are. */
export interface OptimizerPlugin {
  readonly optimizerName: string;
  readonly hyperparameters: HyperparameterDefinitions;
  load(record: Readonly<Record<string, unknown>>): Optimizer;
}

/** An optimizer, and where it is from. */
export interface LoadedOptimizer {
  readonly plugin: OptimizerPlugin;
  /** Its package; undefined for a module that is a file, and for those that were there already. */
  readonly package: PluginPackage | undefined;
  /** What the package says of it. */
  readonly manifest: OptimizerManifest;
}

/** How optimizers are looked for. */
export interface LoadOptions {
  /** Where Node would look from. Default: the current folder. */
  readonly folder?: string;
  /** Optimizers that are there already, by name, or what gives the one that is asked for. Default: none. */
  readonly included?: Readonly<Record<string, OptimizerPlugin | (() => Promise<OptimizerPlugin>)>>;
}

/**
 * Loads an optimizer by name.
 *
 * @param name a rule that an installed package has: `@adakit/NAME`, `adakit-optimizer-NAME`,
 * `@scope/adakit-optimizer-NAME`, or what their package.json declares; the name of a package; `PACKAGE#RULE` where it has
 * several; or the path of a module or of a package's folder
 * @throws PluginError `unknown-optimizer` with what is installed; `ambiguous-optimizer` naming both packages that have the
 * rule; `invalid-plugin` for a module that cannot be loaded or has none, and a package.json that is not as it should be
 */
export async function loadOptimizer(name: string, options: LoadOptions = {}): Promise<LoadedOptimizer> {
  requireText('the name of an optimizer', name);
  const problem = optionsProblem(options, {
    folder: kinds.text,
    included: kinds.object,
  } satisfies Record<keyof LoadOptions, OptionKind>);
  if (problem !== undefined) throw new PluginError('unknown-optimizer', `loadOptimizer: ${problem}`);
  const { folder = process.cwd(), included = {} } = options;
  if (/^\.{1,2}(\/|$)/.test(name) || isAbsolute(name) || /\.m?js$/.test(name)) {
    const path = resolve(folder, name);
    if (!existsSync(path)) throw new PluginError('unknown-optimizer', `there is no file ${path}`);
    if (statSync(path).isDirectory()) return loadPlugin(pluginIn(path));
    return { plugin: chosen(await pluginsIn(path, name), name), package: undefined, manifest: {} };
  }
  const [packageName, rule] = name.split('#') as [string, string?];
  if (name.startsWith('@') || isPluginName(packageName) || rule !== undefined) {
    const found = installedPackage(packageName, folder);
    if (found !== undefined) {
      const loaded = await loadPlugin(found, rule);
      const { optimizerName } = loaded.plugin;
      if (rule === undefined || rule === optimizerName) return loaded;
      throw new PluginError('unknown-optimizer', `${packageName} has no optimizer '${rule}', but ${optimizerName}`);
    }
    throw new PluginError('unknown-optimizer', `there is no package ${packageName}; npm install ${packageName}`);
  }
  const own = Object.hasOwn(included, name) ? included[name] : undefined;
  const invalid = new Map<string, PluginError>();
  const installed = installedOptimizers(folder, (broken, error) => invalid.set(broken, error));
  // A package my-adam has a rule called myAdam: both names lead to it.
  const having = installed.filter(
    (each) =>
      (Object.hasOwn(each.optimizers, name) || nameIn(each.name) === name) &&
      !(own && each.name.startsWith('@adakit/')),
  );
  if (having.length + (own ? 1 : 0) > 1) {
    const places = [...(own ? ['among those that are built in'] : []), ...having.map((each) => `in ${each.name}`)];
    throw new PluginError(
      'ambiguous-optimizer',
      `the optimizer '${name}' is ${places.join(' and ')}; say which by the name of its package, e.g. '${having[0].name}'`,
    );
  }
  if (own) return { plugin: 'optimizerName' in own ? own : await own(), package: undefined, manifest: {} };
  if (having.length === 1) return loadPlugin(having[0], Object.hasOwn(having[0].optimizers, name) ? name : undefined);
  // Who asks for a package that is broken learns why it is not there.
  for (const [broken, error] of invalid) if (nameIn(broken) === name) throw error;
  const known = [...Object.keys(included), ...installed.flatMap((each) => Object.keys(each.optimizers))];
  throw unknown(name, [...new Set(known)], [...invalid.values()]);
}

/**
 * Loads an optimizer of a package.
 *
 * @param rule which one. Default: the only one
 * @throws PluginError `invalid-plugin` for a package that cannot be loaded or does not have it
 */
export async function loadPlugin(found: PluginPackage, rule?: string): Promise<LoadedOptimizer> {
  requireText('the folder of a plugin', (Object(found) as Partial<PluginPackage>).folder);
  const plugin = chosen(await pluginsIn(entryOf(found.folder), found.name), found.name, rule);
  const { optimizerName } = plugin;
  const declared = found.optimizers[rule ?? optimizerName] as OptimizerManifest | undefined;
  return { plugin, package: found, manifest: declared ?? {} };
}

/**
 * The package in a folder that is no installed one, such as one that is being written.
 *
 * @throws PluginError `unknown-optimizer` for a folder without package.json, `invalid-plugin` for one that is not as it should
 * be
 */
export function pluginIn(folder: string): PluginPackage {
  requireText('the folder of a plugin', folder);
  const json = manifestIn(folder);
  if (json !== undefined) return pluginPackage(json, folder);
  throw new PluginError('unknown-optimizer', `there is no ${join(folder, 'package.json')}`);
}

/** A state that names the package and version of the optimizer that wrote it, so that who lacks it knows what to install. */
export function withPackage(state: TrainingState, { package: from }: Pick<LoadedOptimizer, 'package'>): TrainingState {
  return from === undefined ? state : { ...state, versions: { ...state.versions, [from.name]: from.version } };
}

/**
 * What to install for a state whose optimizer is not there, by the packages that it names.
 *
 * @returns e.g. `npm install adakit-optimizer-mine@1.2.0`, or undefined where it names none
 */
export function installHint(versions: TrainingState['versions'] = {}): string | undefined {
  const plugins = Object.entries(versions).filter(([name]) => isPluginName(name));
  if (plugins.length === 0) return undefined;
  return `npm install ${plugins.map(([name, version]) => `${name}@${version}`).join(' ')}`;
}

function unknown(name: string, known: readonly string[], invalid: readonly PluginError[]): PluginError {
  return new PluginError(
    'unknown-optimizer',
    `there is no optimizer '${name}'${suggestion(name, known)} (installed: ${known.join(', ') || 'none'}; ` +
      `others are packages adakit-optimizer-NAME, or the path of a module or a package)` +
      invalid.map(({ message }) => `; left out: ${message}`).join(''),
  );
}

type Exports = string | { readonly [condition: string]: Exports } | undefined;

/** The module that `import` would load: optimizers are modules, which `require.resolve` may not find. */
function entryOf(folder: string): string {
  const { exports, main } = manifestIn(folder) as { exports?: Exports; main?: string };
  const target = (value: Exports): string | undefined =>
    typeof value === 'object' ? target(value['.'] ?? value.node ?? value.import ?? value.default) : value;
  return join(folder, target(exports) ?? main ?? 'index.js');
}

async function pluginsIn(path: string, name: string): Promise<OptimizerPlugin[]> {
  let module: Readonly<Record<string, unknown>>;
  try {
    module = (await import(pathToFileURL(path).href)) as Readonly<Record<string, unknown>>;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new PluginError('invalid-plugin', `${name} cannot be loaded: ${message}`, { cause: error });
  }
  return [...new Set(Object.values(module).filter(isPlugin))];
}

function chosen(plugins: readonly OptimizerPlugin[], name: string, wanted?: string): OptimizerPlugin {
  // The name by which a package is found need not be the rule's, where there is only one.
  const found =
    plugins.find(({ optimizerName }) => optimizerName === wanted) ?? (plugins.length === 1 ? plugins[0] : undefined);
  if (found !== undefined) return found;
  throw new PluginError(
    'invalid-plugin',
    plugins.length === 0
      ? `${name} exports no optimizer; one is made by defineOptimizer of @adakit/core`
      : `${name} exports several optimizers (${plugins.map(({ optimizerName }) => optimizerName).join(', ')}); say which: ${name}#${plugins[0].optimizerName}`,
  );
}

function isPlugin(value: unknown): value is OptimizerPlugin {
  return typeof value === 'function' && 'optimizerName' in value && 'hyperparameters' in value && 'load' in value;
}
