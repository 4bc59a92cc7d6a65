import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { jsDevice, type Device, type FloatArray } from '@adakit/core';
import { DeviceUnavailable, type DeviceOffer } from '@adakit/testing';
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
const mine: DeviceOffer = {
  name: 'mine in a loop',
  exact: true,
  start: () => Promise.resolve({ device: jsDevice() }),
};
const gone: DeviceOffer = {
  name: 'another',
  exact: true,
  start: () => Promise.reject(new DeviceUnavailable('not installed: npm install --save-dev another')),
};
/** Its kernels do nothing. */
const wrong: Device<FloatArray> = { ...jsDevice(), compile: () => ({ bind: () => ({ run: () => undefined }) }) };

afterAll(() => {
  rmSync(folder, { recursive: true });
});

it('runs the kit on a package, compares it with its runs, and says what is missing', async () => {
  const { checks, optimizers, devices, badge } = await verifyPlugin(folder, [mine, gone]);
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
  expect(ofRule.filter((check) => check.name.startsWith('reproduces the reference run'))).toHaveLength(13);
  expect(ofRule.map((check) => check.name)).toContain(
    'gives the bits of the interpreter on mine in a loop, stopped in the middle or not',
  );
  expect(devices).toEqual([
    ...['reference', 'reference-f32', 'js', 'wasm', 'mine in a loop'].map((name) => ({ name })),
    { name: 'another', missing: 'not installed: npm install --save-dev another' },
  ]);
  expect(badge.label).toBe('adakit');
  expect(badge.message).toMatch(/^1 of \d+ checks fail on js, wasm, mine$/);
  expect(badge.color).toBe('red');
});

it('counts what differs on one device', async () => {
  const { optimizers } = await verifyPlugin(folder, [{ ...mine, start: () => Promise.resolve({ device: wrong }) }]);
  const failed = optimizers[0].checks.filter(({ ok }) => !ok);
  expect(failed.map(({ name }) => name)).toEqual([
    'reproduces the reference run defaults.json on mine in a loop',
    'gives the bits of the interpreter on mine in a loop, stopped in the middle or not',
    'goes on from device to device, as if it had stayed on one',
  ]);
  expect(failed[1].message).toMatch(/^mine in a loop: the parameter "p0"\[0\] is .* after step 1$/);
});

it('prints a report with a badge, and fails when a check does', async () => {
  const { output, exitCode } = await runCommand(addVerifyPluginCommand, 'verify-plugin', folder);
  expect(output).toContain('  FAILED  says its license and where its source is: ');
  expect(output).toContain('\ndevices\n  tried   reference\n');
  expect(output).toMatch(/!\[adakit: 1 of \d+ checks fail on js, wasm\]\(https:\/\/img\.shields\.io\/badge\/adakit-/);
  expect(exitCode).toBe(1);
});

it('says what package.json claims and does not hold', async () => {
  const claims = mkdtempSync(join(folder, 'claims-'));
  const optimizers = { leo: { settings: { text: { lr: 'small' } }, references: ['runs/gone.json'] } };
  const exports = '../index.js';
  writeFileSync(
    join(claims, 'package.json'),
    JSON.stringify({ name: 'adakit-optimizer-leo', exports, adakit: { optimizers } }),
  );
  const told: string[] = [];
  const [{ checks }] = (await verifyPlugin(claims, [], (name) => told.push(name))).optimizers;
  expect(told.slice(-checks.length)).toEqual(checks.map(({ name }) => name));
  expect(checks.slice(0, 3).map(({ message }) => message)).toEqual([
    'adakit.optimizers has leo, but the module lion',
    'there is no runs/gone.json',
    'lion: lr must be a finite number, got "small"',
  ]);
});
