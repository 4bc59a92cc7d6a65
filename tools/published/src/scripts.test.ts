import { execFile } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, inject, test } from 'vitest';
import { filesOf, readText, root } from './packages.js';

const { scripts } = JSON.parse(readText('package.json')) as { readonly scripts: Readonly<Record<string, string>> };

/** Scripts that compile the repository and start a program of it. */
const programs = Object.entries(scripts).flatMap(([name, command]) => {
  const file = /^npm run build && node (\S+)$/.exec(command)?.[1];
  return file === undefined ? [] : [{ name, file }];
});

describe.each(programs)('npm run $name', ({ name, file }) => {
  test('says with --help how it is called', async () => {
    const { stdout } = await promisify(execFile)(process.execPath, [join(inject('tree'), file), '--help']);
    expect(stdout).toContain(`npm run ${name}`);
  });
});

const pages = [
  'README.md',
  ...filesOf('docs').filter((path) => path.endsWith('.md')),
  ...['packages', 'tools']
    .flatMap((folder) => readdirSync(join(root, folder)).map((name) => `${folder}/${name}/README.md`))
    .filter((path) => existsSync(join(root, path)))
    // Speaks of the scripts of packages that it makes.
    .filter((path) => path !== 'packages/create-adakit-optimizer/README.md'),
];

test.each(pages)('the scripts that %s names are there', (page) => {
  const named = [...readText(page).matchAll(/npm run (?:--\S+ )*([a-z][\w:-]*)/g)].map(([, name]) => name);
  expect(named.filter((name) => !Object.hasOwn(scripts, name))).toEqual([]);
});
