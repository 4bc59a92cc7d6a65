import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const root = fileURLToPath(new URL('../../../', import.meta.url));

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

/** A package as `npm pack` makes it. */
export interface Tarball {
  readonly name: string;
  readonly version: string;
  /** Of the tarball, in its directory. */
  readonly filename: string;
  readonly integrity: string;
  readonly shasum: string;
  /** Bytes, compressed. */
  readonly size: number;
  /** Paths in the package. */
  readonly files: readonly { readonly path: string }[];
}

/** The text of a file of this repository. @param path from its root */
export function readText(path: string): string {
  return readFileSync(join(root, path), 'utf8');
}

/** Paths of all files in a folder of this repository. @param folder from its root */
export function filesOf(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).map((file) => `${folder}/${file}`);
}

/** All packages that are not private, in the order of their directories. */
export function publishedPackages(): PublishedPackage[] {
  return ['packages', 'tools']
    .flatMap((folder) => readdirSync(join(root, folder)).map((name) => `${folder}/${name}`))
    .filter((directory) => readdirSync(join(root, directory)).includes('package.json'))
    .map((directory) => ({ directory, manifest: JSON.parse(readText(`${directory}/package.json`)) as Manifest }))
    .filter(({ manifest }) => manifest.private !== true);
}

/**
 * Packs packages with `npm pack`, which builds them first.
 *
 * @param destination directory for the tarballs
 * @throws Error with npm's output when a package cannot be built or packed
 */
export async function pack(packages: readonly PublishedPackage[], destination: string): Promise<Tarball[]> {
  const workspaces = packages.map(({ manifest }) => `--workspace=${manifest.name}`);
  const options = ['--json', '--foreground-scripts=false', `--pack-destination=${destination}`];
  const { stdout } = await promisify(execFile)('npm', ['pack', ...options, ...workspaces], {
    cwd: root,
    maxBuffer: 2 ** 26,
  });
  return JSON.parse(stdout) as Tarball[];
}
