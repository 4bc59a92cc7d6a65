import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type {} from 'vitest';
import type { TestProject } from 'vitest/node';
import { pack, publishedPackages, type Tarball } from './packages.js';
import { serveRegistry } from './registry.js';

declare module 'vitest' {
  interface ProvidedContext {
    readonly tarballs: readonly Tarball[];
    /** Address of a registry of them. */
    readonly registry: string;
    /** For projects; removed in the end. */
    readonly workspace: string;
  }
}

/** Packs all packages once, for all tests. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  // Outside of the repository, whose node_modules would otherwise supply what a project lacks.
  const workspace = mkdtempSync(join(tmpdir(), 'adakit-published-'));
  const packages = publishedPackages();
  const tarballs = await pack(packages, workspace);
  const registry = await serveRegistry(packages, tarballs, workspace);
  project.provide('tarballs', tarballs);
  project.provide('registry', registry.url);
  project.provide('workspace', workspace);
  return async () => {
    await registry.close();
    rmSync(workspace, { recursive: true, force: true });
  };
}
