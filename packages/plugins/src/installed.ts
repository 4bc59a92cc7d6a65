import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { isPluginName, pluginPackage, type PluginPackage } from './manifest.js';

/**
 * Optimizers that Node finds from a folder, by their packages' names: `adakit-optimizer-…`, scoped or not, and those of
 * `@adakit` that say in package.json which optimizers they have. Nothing is loaded.
 *
 * @param folder default: the current one
 * @throws PluginError for a package whose field `adakit` is not as it should be
 */
export function installedOptimizers(folder: string = process.cwd()): PluginPackage[] {
  const found = new Map<string, PluginPackage>();
  for (const modules of modulesFolders(folder)) {
    for (const name of packageNames(modules)) {
      // What is nearer hides what is farther, as with import.
      if (found.has(name)) continue;
      const plugin = packageIn(join(modules, name));
      if (plugin !== undefined) found.set(name, plugin);
    }
  }
  return [...found.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** A package by its name, as Node finds it from a folder. */
export function installedPackage(name: string, folder: string): PluginPackage | undefined {
  for (const modules of modulesFolders(folder)) {
    const file = join(modules, name, 'package.json');
    if (existsSync(file)) return pluginPackage(JSON.parse(readFileSync(file, 'utf8')), join(modules, name));
  }
  return undefined;
}

function modulesFolders(folder: string): string[] {
  const folders: string[] = [];
  for (let at = resolve(folder); ; at = dirname(at)) {
    folders.push(join(at, 'node_modules'));
    if (dirname(at) === at) return folders.filter((each) => existsSync(each));
  }
}

/** Those that may be plugins. */
function packageNames(modules: string): string[] {
  return readdirSync(modules).flatMap((entry) => {
    if (!entry.startsWith('@')) return isPluginName(entry) ? [entry] : [];
    const inside = readdirSync(join(modules, entry)).map((name) => `${entry}/${name}`);
    return entry === '@adakit' ? inside : inside.filter(isPluginName);
  });
}

function packageIn(folder: string): PluginPackage | undefined {
  const file = join(folder, 'package.json');
  if (!existsSync(file)) return undefined;
  const json = JSON.parse(readFileSync(file, 'utf8')) as { readonly name?: string; readonly adakit?: unknown };
  return json.adakit !== undefined || isPluginName(json.name ?? '') ? pluginPackage(json, folder) : undefined;
}
