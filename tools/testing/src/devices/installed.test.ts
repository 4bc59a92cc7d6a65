import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { jsDevice } from '@adakit/core';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { besideKit, installedDevices, installedIn, offerOf, type InstallableDevice } from './installed.js';
import { tryDevices } from './offer.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'devices-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
  vi.unstubAllEnvs();
});

function install(name: string, code: string): void {
  const at = join(folder, 'node_modules', name);
  mkdirSync(at, { recursive: true });
  writeFileSync(join(at, 'package.json'), JSON.stringify({ name, type: 'module', exports: './index.js' }));
  writeFileSync(join(at, 'index.js'), code);
}

/** A device of a runtime that nobody has. */
const device: InstallableDevice = {
  name: 'abacus',
  exact: true,
  packages: ['runner-abacus', 'abacus-node'],
  async start(load) {
    await load('runner-abacus');
    return { device: jsDevice() };
  },
};
const missing = async (): Promise<string | undefined> => {
  const { tried } = await tryDevices([offerOf(device, [installedIn(folder), besideKit])]);
  return tried[0].missing;
};

it('a runtime that is not installed is left out, with what to install', async () => {
  expect(await missing()).toBe('not installed: npm install --save-dev runner-abacus abacus-node');
});

it('so is one whose own dependency is not installed', async () => {
  install('runner-abacus', `import 'abacus-node';`);
  expect(await missing()).toBe('not installed: npm install --save-dev runner-abacus abacus-node');
});

it('a runtime that only the project has is found there', async () => {
  install('runner-abacus', '');
  expect(await missing()).toBeUndefined();
});

it.each([
  [`throw new Error('no beads');`, 'it does not start here: no beads'],
  [`import './beads.node';`, 'it does not start here: Cannot find module '],
])('a runtime that is installed and does not load is left out with its own words: %s', async (code, message) => {
  install('runner-abacus', code);
  expect(await missing()).toContain(message);
});

it('all are offered, those that the environment names, or those that are asked for', () => {
  const names = (wanted?: readonly string[]): string[] =>
    installedDevices(wanted === undefined ? {} : { names: wanted }).map(({ name }) => name);
  vi.stubEnv('ADAKIT_DEVICES', '');
  expect(names()).toEqual(['onnx', 'onnx native', 'tfjs/cpu', 'tfjs/cpu op by op', 'tfjs/wasm', 'tfjs/tensorflow']);
  vi.stubEnv('ADAKIT_DEVICES', 'host');
  expect(names()).toEqual([]);
  vi.stubEnv('ADAKIT_DEVICES', 'onnx, tfjs/cpu op by op');
  expect(names()).toEqual(['onnx', 'tfjs/cpu op by op']);
  expect(names(['tfjs/wasm'])).toEqual(['tfjs/wasm']);
  expect(() => names(['tfjs/wasmm'])).toThrow('there is no device "tfjs/wasmm", did you mean "tfjs/wasm"?');
});

it('one that is asked for must be there', async () => {
  const [offer] = installedDevices({ folder, names: ['onnx native'] });
  vi.doMock('@adakit/runner-onnx', () => {
    throw new Error('gone');
  });
  await expect(tryDevices([offer])).rejects.toThrow('the device onnx native is asked for: it does not start here: ');
  vi.doUnmock('@adakit/runner-onnx');
});
