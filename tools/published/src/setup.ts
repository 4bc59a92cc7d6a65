import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type {} from 'vitest';
import type { TestProject } from 'vitest/node';
import { publishedPackages, publishedTarball, type Tarball } from './packages.js';
import { startRegistry, type Registry } from './registry.js';
import { ReleaseTree } from './release.js';

declare module 'vitest' {
  interface ProvidedContext {
    readonly tarballs: readonly Tarball[];
    /** Where all packages are published. */
    readonly registry: Pick<Registry, 'url' | 'env'>;
    /** The copy of the repository that they were published from. */
    readonly tree: string;
    /** For projects; removed in the end. */
    readonly workspace: string;
  }
}

/** Releases everything once, as `npm run release` does, to a registry on this machine. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  // Outside of the repository, whose node_modules would otherwise supply what a project lacks.
  const workspace = mkdtempSync(join(tmpdir(), 'adakit-published-'));
  mkdirSync(join(workspace, 'registry'));
  const { url, env, storage, close } = await startRegistry(join(workspace, 'registry'));
  const tree = await ReleaseTree.copy(join(workspace, 'tree'), env);
  await tree.changeset('version');
  await tree.commit('version');
  await tree.build();
  await tree.changeset('publish');
  const tarballs = publishedPackages().map(({ manifest }) => publishedTarball(storage, manifest.name));
  project.provide('tarballs', await Promise.all(tarballs));
  project.provide('registry', { url, env });
  project.provide('tree', tree.directory);
  project.provide('workspace', workspace);
  return async () => {
    await close();
    rmSync(workspace, { recursive: true, force: true });
  };
}
