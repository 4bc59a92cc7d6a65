#!/usr/bin/env node
// The published package contains dist/. In a fresh checkout it does not exist yet: build it once.
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const entry = new URL('../dist/main.js', import.meta.url);
if (!existsSync(entry)) {
  const { spawnSync } = await import('node:child_process');
  const { createRequire } = await import('node:module');
  process.stderr.write('adakit: building the workspace once…\n');
  const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc');
  const project = fileURLToPath(new URL('..', import.meta.url));
  const bundle = fileURLToPath(new URL('../../release/bundle.js', import.meta.url));
  for (const args of [[tsc, '-b', project], [bundle]]) {
    const { status } = spawnSync(process.execPath, args, { stdio: ['ignore', 2, 2] });
    if (status !== 0) process.exit(status ?? 1);
  }
}
await import(entry.href);
