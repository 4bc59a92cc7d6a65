import { existsSync, readdirSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { PluginError, requireText } from './error.js';
import { isPluginName, manifestIn, pluginPackage, type PluginPackage } from './manifest.js';

/**
 * Optimizers that Node finds from a folder, by their packages' names: `adakit-optimizer-…`, scoped or not, and those of
 * `@adakit` that say in package.json which optimizers they have. Nothing is loaded.
 *
 * @param folder default: the current one
 * @param onInvalid is told of packages whose package.json is not as it should be. They are left out, and stand in nobody's
 * way. Default: nothing is said
 */
export function installedOptimizers(
  folder: string = process.cwd(),
  onInvalid: (name: string, error: PluginError) => void = () => undefined,
): PluginPackage[] {
  requireText('the folder to look from', folder);
  const found = new Map<string, PluginPackage | undefined>();
  for (const modules of modulesFolders(folder)) {
    for (const name of packageNames(modules)) {
      // What is nearer hides what is farther, as with import.
      if (found.has(name)) continue;
      try {
        const plugin = packageIn(join(modules, name));
        if (plugin !== undefined) found.set(name, plugin);
      } catch (error) {
        if (!(error instanceof PluginError)) throw error;
        found.set(name, undefined);
        onInvalid(name, error);
      }
    }
  }
  const sound = [...found.values()].filter((each) => each !== undefined);
  return sound.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** A package by its name, as Node finds it from a folder. @throws PluginError for a package.json that is not as it should be */
export function installedPackage(name: string, folder: string): PluginPackage | undefined {
  for (const modules of modulesFolders(folder)) {
    const json = manifestIn(join(modules, name));
    if (json !== undefined) return pluginPackage(json, join(modules, name));
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
  const json = manifestIn(folder);
  if (json === undefined) return undefined;
  const { name, adakit } = json;
  return adakit !== undefined || typeof name !== 'string' || isPluginName(name)
    ? pluginPackage(json, folder)
    : undefined;
}
