import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { closestName, type HyperparameterDefinitions, type Optimizer } from '@adakit/core';
import * as factories from './rules.js';
import { UsageError } from './usage-error.js';

/** What an optimizer's package exports. */
export interface OptimizerPlugin {
  readonly optimizerName: string;
  readonly hyperparameters: HyperparameterDefinitions;
  load(record: Readonly<Record<string, unknown>>): Optimizer;
}

/**
 * An optimizer by name: one that comes with the command; the package `@adakit/NAME`, `adakit-optimizer-NAME` or
 * `@scope/adakit-optimizer-NAME`, found from a folder as Node does; or the path of a module.
 *
 * @throws UsageError with what is installed
 */
export async function optimizerPlugin(name: string, folder: string): Promise<OptimizerPlugin> {
  if (Object.hasOwn(factories, name)) return factories[name as keyof typeof factories];
  if (/^\.{0,2}\//.test(name) || isAbsolute(name) || /\.m?js$/.test(name)) {
    const path = resolve(folder, name);
    if (!existsSync(path)) throw new UsageError(`--optimizer: there is no file ${path}`);
    return pluginIn(path, name);
  }
  const plain = name.replace(/^(@[^/]+\/)?(adakit-optimizer-)?/, '');
  const candidates = name.startsWith('@') ? [name] : [`@adakit/${name}`, `adakit-optimizer-${plain}`];
  const scoped = installedPlugins(folder).filter((each) => each.endsWith(`/adakit-optimizer-${plain}`));
  for (const candidate of [...candidates, ...(name.startsWith('@') ? [] : scoped)]) {
    const found = packageFolder(candidate, folder);
    if (found !== undefined) return pluginIn(entryOf(found), candidate, plain);
  }
  const installed = [...Object.keys(factories), ...installedPlugins(folder)];
  const suggestion = closestName(
    name,
    installed.map((each) => each.replace(/^.*adakit-optimizer-/, '')),
  );
  throw new UsageError(
    `there is no optimizer '${name}'${suggestion === undefined ? '' : `, did you mean '${suggestion}'?`} (installed: ${installed.join(', ')}; ` +
      `others are packages adakit-optimizer-NAME, or the path of a module)`,
  );
}

/** Names of packages `adakit-optimizer-…`, scoped or not, that Node finds from a folder. */
export function installedPlugins(folder: string): string[] {
  const found = new Set<string>();
  for (const modules of modulesFolders(folder)) {
    for (const entry of readdirSync(modules)) {
      if (entry.startsWith('adakit-optimizer-')) found.add(entry);
      if (!entry.startsWith('@')) continue;
      for (const inside of readdirSync(join(modules, entry))) {
        if (inside.startsWith('adakit-optimizer-')) found.add(`${entry}/${inside}`);
      }
    }
  }
  return [...found].sort();
}

/** What an optimizer can be set to, a line each. */
export function hyperparameterLines({ hyperparameters }: Pick<OptimizerPlugin, 'hyperparameters'>): string[] {
  return Object.entries(hyperparameters).map(([name, definition]) => {
    const standard = definition.default === undefined ? 'required' : `default ${definition.default}`;
    switch (definition.type) {
      case 'choice':
        return `${name}=${definition.words.join('|')}  (${standard})`;
      case 'flag':
        return `${name}=true|false  (${standard})`;
      case 'repeat':
        return `${name}=COUNT  (${standard})`;
      case 'number': {
        const { above, atLeast, below, atMost } = definition.atConstruction;
        const range = [
          above === undefined ? '' : `> ${above}`,
          atLeast === undefined ? '' : `>= ${atLeast}`,
          below === undefined ? '' : `< ${below}`,
          atMost === undefined ? '' : `<= ${atMost}`,
        ].filter((text) => text !== '');
        return `${name}=NUMBER  (${[standard, ...range].join(', ')})`;
      }
    }
  });
}

function modulesFolders(folder: string): string[] {
  const folders: string[] = [];
  for (let at = resolve(folder); ; at = dirname(at)) {
    folders.push(join(at, 'node_modules'));
    if (dirname(at) === at) return folders.filter((each) => existsSync(each));
  }
}

function packageFolder(name: string, folder: string): string | undefined {
  return modulesFolders(folder)
    .map((modules) => join(modules, name))
    .find((each) => existsSync(join(each, 'package.json')));
}

type Exports = string | { readonly [condition: string]: Exports } | undefined;

/** The module that `import` would load: optimizers are modules, which `require.resolve` may not find. */
function entryOf(folder: string): string {
  const { exports, main } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {
    exports?: Exports;
    main?: string;
  };
  const target = (value: Exports): string | undefined =>
    typeof value === 'object' ? target(value['.'] ?? value.node ?? value.import ?? value.default) : value;
  return join(folder, target(exports) ?? main ?? 'index.js');
}

async function pluginIn(path: string, name: string, wanted?: string): Promise<OptimizerPlugin> {
  let module: Readonly<Record<string, unknown>>;
  try {
    module = (await import(pathToFileURL(path).href)) as Readonly<Record<string, unknown>>;
  } catch (error) {
    throw new UsageError(
      `--optimizer: ${name} cannot be loaded: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
  const plugins = [...new Set(Object.values(module).filter(isPlugin))];
  const chosen = plugins.length === 1 ? plugins[0] : plugins.find(({ optimizerName }) => optimizerName === wanted);
  if (chosen !== undefined) return chosen;
  throw new UsageError(
    plugins.length === 0
      ? `--optimizer: ${name} exports no optimizer; one is made by defineOptimizer of @adakit/core`
      : `--optimizer: ${name} exports several optimizers (${plugins.map(({ optimizerName }) => optimizerName).join(', ')}); none is called '${wanted ?? ''}'`,
  );
}

function isPlugin(value: unknown): value is OptimizerPlugin {
  return typeof value === 'function' && 'optimizerName' in value && 'hyperparameters' in value && 'load' in value;
}
