import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { runCommand } from '../testing/run-command.js';
import { addVerifyPluginCommand } from './command.js';
import { verifyPlugin } from './verify.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'plugin-'));
  const lion = fileURLToPath(new URL('../../../../packages/lion/', import.meta.url));
  const rules = fileURLToPath(new URL('../../../fixtures/rules/', import.meta.url));
  const runs = ['defaults', 'no-weight-decay', 'weight-decay'];
  mkdirSync(join(folder, 'runs'));
  for (const run of runs)
    writeFileSync(join(folder, `runs/${run}.json`), readFileSync(join(rules, `lion-${run}.json`)));
  writeFileSync(
    join(folder, 'package.json'),
    JSON.stringify({
      name: 'adakit-optimizer-lion',
      version: '1.0.0',
      keywords: ['adakit-optimizer'],
      license: 'MIT',
      type: 'module',
      exports: './index.js',
      peerDependencies: { '@adakit/core': '*' },
      adakit: {
        optimizers: {
          lion: { paper: 'https://arxiv.org/abs/2302.06675', references: runs.map((run) => `runs/${run}.json`) },
        },
      },
    }),
  );
  writeFileSync(join(folder, 'index.js'), `export { lion } from ${JSON.stringify(join(lion, 'src/index.ts'))};`);
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

it('runs the kit on a package, compares it with its runs, and says what is missing', async () => {
  const { checks, optimizers, badge } = await verifyPlugin(folder);
  expect(checks.filter(({ ok }) => !ok)).toEqual([
    {
      name: 'says its license and where its source is',
      ok: false,
      message: 'license or repository is missing in package.json',
    },
  ]);
  const [{ name, hash, checks: ofRule }] = optimizers;
  expect([name, hash.length]).toEqual(['lion', 32]);
  expect(ofRule.filter(({ ok }) => !ok)).toEqual([]);
  expect(ofRule.filter((check) => check.name.startsWith('reproduces the reference run'))).toHaveLength(12);
  expect(badge).toMatchObject({ label: 'adakit', color: 'red' });
});

it('prints a report with a badge, and fails when a check does', async () => {
  const { output, exitCode } = await runCommand(addVerifyPluginCommand, 'verify-plugin', folder);
  expect(output).toContain('  FAILED  says its license and where its source is: ');
  expect(output).toMatch(/!\[adakit: 1 of \d+ checks fail\]\(https:\/\/img\.shields\.io\/badge\/adakit-/);
  expect(exitCode).toBe(1);
});
