import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, inject, test } from 'vitest';
import { nodeProgram } from './node.js';
import { readText } from './packages.js';
import { Project } from './project.js';

/** The first and the last of every major of vitest that the conformance kit accepts, and the Node that runs it. */
const versions = [
  ['3.0.1', undefined],
  ['3', undefined],
  ['4.0.18', undefined],
  ['4', undefined],
  ['5.0.0', 22],
  ['5', 22],
] as const;

test('the range of vitest is what is tried', () => {
  const { peerDependencies } = JSON.parse(readText('tools/testing/package.json')) as {
    readonly peerDependencies: Readonly<Record<string, string>>;
  };
  const first = versions.flatMap(([version]) => (version.includes('.') ? [`^${version}`] : []));
  expect(peerDependencies.vitest).toBe(first.join(' || '));
});

/** The template of a package, without tools that only check it. */
let author: Project;
let folder: string;
beforeAll(async () => {
  const { url, env } = inject('registry');
  author = new Project(mkdtempSync(join(inject('workspace'), 'vitests-')), { url, env });
  writeFileSync(join(author.directory, '.npmrc'), readFileSync(env.npm_config_userconfig));
  const cache = join(author.directory, 'npm-create');
  await author.execute('npm', ['create', '--yes', '--cache', cache, 'adakit-optimizer', 'my-adam', '--', '--yes']);
  folder = join(author.directory, 'adakit-optimizer-my-adam');
  writeFileSync(join(folder, '.npmrc'), readFileSync(env.npm_config_userconfig));
});

test.each(versions)('the tests of a package of one’s own pass with vitest %s', async (version, major) => {
  const file = join(folder, 'package.json');
  const manifest = JSON.parse(readFileSync(file, 'utf8')) as { devDependencies: Record<string, string> };
  const kept = ['@adakit/testing', 'fast-check', 'typescript'];
  const devDependencies = {
    ...Object.fromEntries(Object.entries(manifest.devDependencies).filter(([name]) => kept.includes(name))),
    '@types/node': major === undefined ? '20' : String(major),
    vitest: version,
  };
  writeFileSync(file, JSON.stringify({ ...manifest, devDependencies }));
  for (const left of ['node_modules', 'package-lock.json'])
    rmSync(join(folder, left), { recursive: true, force: true });
  await author.execute('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund'], folder);
  // Its README imports it by name.
  await author.execute('npm', ['run', 'build'], folder);
  const node = major === undefined ? process.execPath : await nodeProgram(major);
  expect(node, `Node ${String(major)} is in no package for this platform`).toBeDefined();
  await author.execute(node ?? '', ['node_modules/vitest/vitest.mjs', 'run'], folder);
});
