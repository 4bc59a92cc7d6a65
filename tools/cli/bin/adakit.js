#!/usr/bin/env node
// The published package contains dist/. In a fresh checkout it does not exist yet: build it once.
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const entry = new URL('../dist/main.js', import.meta.url);
if (!existsSync(entry)) {
  const { spawnSync } = await import('node:child_process');
  process.stderr.write('adakit: building the workspace once…\n');
  const { status } = spawnSync('npm', ['run', 'build'], {
    cwd: fileURLToPath(new URL('../../..', import.meta.url)),
    stdio: ['ignore', 2, 2],
    shell: process.platform === 'win32',
  });
  if (status !== 0) process.exit(status ?? 1);
}
await import(entry.href);
