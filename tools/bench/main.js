// Runs measurements: `npm run bench -- optimizer --runs 20`, or all of them in turn.

import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const suites = {
  state: 'state-speed.js',
  compile: 'compile-speed.js',
  optimizer: 'optimizer-speed.js',
  inference: 'inference-speed.js',
};

const [name, ...options] = process.argv.slice(2);
if (name !== undefined && !Object.hasOwn(suites, name)) {
  console.error(`there is no measurement "${name}"; choose one of ${Object.keys(suites).join(', ')}`);
  process.exit(1);
}
for (const file of name === undefined ? Object.values(suites) : [suites[name]]) {
  const script = fileURLToPath(new URL(file, import.meta.url));
  const { status } = spawnSync(process.execPath, [script, ...options], { stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}
