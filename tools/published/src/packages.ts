import { execFile } from 'node:child_process';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

/** The repository. */
export const root = fileURLToPath(new URL('../../../', import.meta.url));

/** What the checks read of a package.json. */
export interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly private?: boolean;
  readonly nx?: { readonly tags: readonly string[] };
  readonly [field: string]: unknown;
}

/** A package of this repository that is published. */
export interface PublishedPackage {
  /** From the root of the repository: `packages/core`. */
  readonly directory: string;
  readonly manifest: Manifest;
}

/** A package as it was published. */
export interface Tarball {
  readonly name: string;
  /** Its path. */
  readonly file: string;
  /** Bytes, compressed. */
  readonly size: number;
  /** Paths in the package. */
  readonly files: readonly string[];
  readonly readme: string;
}

/** The text of a file of this repository. @param path from its root */
export function readText(path: string): string {
  return readFileSync(join(root, path), 'utf8');
}

/** Paths of all files in a folder of this repository. @param folder from its root */
export function filesOf(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).map((file) => `${folder}/${file}`);
}

/**
 * All packages that are not private, in the order of their directories.
 *
 * @param tree the repository, or a copy of it
 */
export function publishedPackages(tree: string = root): PublishedPackage[] {
  return ['packages', 'tools']
    .flatMap((folder) => readdirSync(join(tree, folder)).map((name) => `${folder}/${name}`))
    .filter((directory) => readdirSync(join(tree, directory)).includes('package.json'))
    .map((directory) => ({
      directory,
      manifest: JSON.parse(readFileSync(join(tree, directory, 'package.json'), 'utf8')) as Manifest,
    }))
    .filter(({ manifest }) => manifest.private !== true);
}

/**
 * What was published of a package.
 *
 * @param storage of the registry, where it keeps tarballs by their packages' names
 */
export async function publishedTarball(storage: string, name: string): Promise<Tarball> {
  const names = readdirSync(join(storage, name)).filter((file) => file.endsWith('.tgz'));
  if (names.length !== 1) throw new Error(`${name} was published ${names.length} times`);
  const file = join(storage, name, names[0]);
  const tar = async (...args: readonly string[]) =>
    (await promisify(execFile)('tar', [...args, '--gzip', '--file', file], { maxBuffer: 2 ** 26 })).stdout;
  const paths = (await tar('--list')).trim().split('\n');
  return {
    name,
    file,
    size: statSync(file).size,
    files: paths.map((path) => path.replace(/^package\//, '')),
    readme: await tar('--extract', '--to-stdout', 'package/README.md'),
  };
}
