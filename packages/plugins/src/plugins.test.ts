import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defineOptimizer, referenceDevice, Run, tensor64 } from '@adakit/core';
import { afterEach, beforeEach, expect, it } from 'vitest';
import {
  installedOptimizers,
  installHint,
  isPluginName,
  isRuleName,
  loadOptimizer,
  loadPlugin,
  pluginIn,
  PluginError,
  withPackage,
} from './index.js';

let folder: string;
beforeEach(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'plugins-')));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

/** All that is read of a plugin, without core: a module in a temporary folder would not find it. */
const rule = (name: string): string => `
  export const ${name} = Object.assign(() => ({}), { optimizerName: '${name}', hyperparameters: {}, load: () => ({}) });`;

function install(name: string, code: string, fields: Readonly<Record<string, unknown>> = {}): void {
  const at = join(folder, 'node_modules', name);
  mkdirSync(at, { recursive: true });
  const manifest = { name, version: '1.2.0', type: 'module', exports: './index.js', ...fields };
  writeFileSync(join(at, 'package.json'), JSON.stringify(manifest));
  writeFileSync(join(at, 'index.js'), code);
}

it.each(['adakit-optimizer-mine', '@someone/adakit-optimizer-mine'])('finds the rule of %s', async (name) => {
  install(name, rule('mine'));
  for (const asked of ['mine', name, `${name}#mine`]) {
    const { plugin, package: from } = await loadOptimizer(asked, { folder });
    expect([plugin.optimizerName, from?.name, from?.version]).toEqual(['mine', name, '1.2.0']);
  }
});

it.each([
  'adakit-optimizer-../../x',
  'adakit-optimizer-x/index.js',
  'adakit-optimizer-x\\y',
  '@a\\b/adakit-optimizer-x',
])('%s is no name of a package, but a path', (name) => {
  expect(isPluginName(name)).toBe(false);
});

it('tells names of rules from paths and packages', () => {
  expect(['adam', 'myAdam', 'schedule-free'].every(isRuleName)).toBe(true);
  expect(['./adam.js', 'adam.mjs', '/adam', '@adakit/adam', 'a#b', '', 'a b'].some(isRuleName)).toBe(false);
});

it('finds rules by what package.json declares, with paper and settings', async () => {
  const paper = 'https://example.org/paper';
  const optimizers = { first: { paper, settings: { images: { lr: 0.1 } } }, second: {} };
  install('adakit-optimizer-both', rule('first') + rule('second'), { adakit: { optimizers } });
  const { plugin, manifest } = await loadOptimizer('first', { folder });
  expect(plugin.optimizerName).toBe('first');
  expect(manifest).toEqual(optimizers.first);
  expect((await loadOptimizer('second', { folder })).plugin.optimizerName).toBe('second');
  expect(installedOptimizers(folder).find(({ name }) => name === 'adakit-optimizer-both')?.optimizers).toEqual(
    optimizers,
  );
  await expect(loadOptimizer('adakit-optimizer-both', { folder })).rejects.toThrow(
    'adakit-optimizer-both exports several optimizers (first, second); say which: adakit-optimizer-both#first',
  );
});

it('finds the rule of a package with a hyphen by the name of either', async () => {
  install('adakit-optimizer-my-adam', rule('myAdam'), { adakit: { optimizers: { myAdam: { settings: {} } } } });
  for (const asked of ['my-adam', 'myAdam', 'adakit-optimizer-my-adam']) {
    const { plugin, package: from, manifest } = await loadOptimizer(asked, { folder });
    expect([plugin.optimizerName, from?.name, manifest]).toEqual([
      'myAdam',
      'adakit-optimizer-my-adam',
      { settings: {} },
    ]);
  }
});

it('names both packages that have a rule', async () => {
  install('adakit-optimizer-mine', rule('mine'));
  install('@someone/adakit-optimizer-mine', rule('mine'));
  await expect(loadOptimizer('mine', { folder })).rejects.toThrow(
    "the optimizer 'mine' is in @someone/adakit-optimizer-mine and in adakit-optimizer-mine; say which",
  );
  const { plugin } = await loadOptimizer('adakit-optimizer-mine', { folder });
  await expect(loadOptimizer('mine', { folder, included: { mine: plugin } })).rejects.toThrow(
    'is among those that are built in and in @someone/adakit-optimizer-mine and in adakit-optimizer-mine',
  );
});

it('says what is wrong with a plugin', async () => {
  install('adakit-optimizer-empty', 'export const x = 1;');
  install('adakit-optimizer-broken', 'nonsense(');
  await expect(loadOptimizer('empty', { folder })).rejects.toThrow('adakit-optimizer-empty exports no optimizer');
  await expect(loadOptimizer('broken', { folder })).rejects.toThrow('adakit-optimizer-broken cannot be loaded');
  await expect(loadOptimizer('emty', { folder })).rejects.toThrow(
    "there is no optimizer 'emty', did you mean 'empty'?",
  );
  await expect(loadOptimizer('.', { folder })).rejects.toThrow(`there is no ${join(folder, 'package.json')}`);
  await expect(loadOptimizer('./gone.js', { folder })).rejects.toThrow(`there is no file ${join(folder, 'gone.js')}`);
  await expect(loadOptimizer('@a/adakit-optimizer-b', { folder })).rejects.toThrow('npm install @a/adakit-optimizer-b');
  install('adakit-optimizer-odd', rule('odd'), { adakit: { optimizers: { odd: { paper: 'none' } } } });
  await expect(loadOptimizer('odd', { folder })).rejects.toThrow('adakit.optimizers.odd.paper must be a URL');
});

it.each([
  ['no JSON', '{ nonsense', 'package.json cannot be read'],
  ['no object', 'null', 'package.json holds no object'],
  ['an odd name', '{ "name": 7 }', 'name and version must be texts'],
  ['an odd field', '{ "adakit": [] }', 'adakit must be { "optimizers"'],
])('a package.json with %s stands in the way of nobody but its package', async (_, text, problem) => {
  install('adakit-optimizer-mine', rule('mine'));
  install('adakit-optimizer-broken', rule('broken'));
  writeFileSync(join(folder, 'node_modules/adakit-optimizer-broken/package.json'), text);
  expect((await loadOptimizer('mine', { folder })).plugin.optimizerName).toBe('mine');
  const told: string[] = [];
  const found = installedOptimizers(folder, (name, { message }) => told.push(`${name}: ${message}`));
  expect(found.map(({ name }) => name)).toContain('adakit-optimizer-mine');
  expect(told).toEqual([expect.stringMatching(/^adakit-optimizer-broken: /)]);
  for (const asked of ['broken', 'adakit-optimizer-broken', './node_modules/adakit-optimizer-broken', 'other']) {
    await expect(loadOptimizer(asked, { folder })).rejects.toThrow(problem);
  }
});

it('refuses a rule that the only one of a package is not', async () => {
  install('adakit-optimizer-mine', rule('mine'));
  await expect(loadOptimizer('adakit-optimizer-mine#other', { folder })).rejects.toThrow(
    "adakit-optimizer-mine has no optimizer 'other', but mine",
  );
});

it('loads the package of a folder that is not installed', async () => {
  install('adakit-optimizer-mine', rule('mine'), { adakit: { optimizers: { mine: { settings: {} } } } });
  const { plugin, package: from, manifest } = await loadOptimizer('./node_modules/adakit-optimizer-mine', { folder });
  expect([plugin.optimizerName, from?.version, manifest]).toEqual(['mine', '1.2.0', { settings: {} }]);
  await expect(loadOptimizer('./node_modules', { folder })).rejects.toThrow(
    `there is no ${join(folder, 'node_modules/package.json')}`,
  );
});

const still = defineOptimizer({ name: 'mine', hyperparameters: {}, update: ({ param }) => ({ param }) });

it('a state names the package and version of its optimizer, and what to install follows', async () => {
  install('adakit-optimizer-mine', rule('mine'));
  const loaded = await loadOptimizer('mine', { folder });
  const run = Run.start(referenceDevice(), still(), { x: tensor64([1]) });
  const state = withPackage(await run.state(), loaded);
  expect(state.versions).toEqual({ 'adakit-optimizer-mine': '1.2.0' });
  expect(installHint(state.versions)).toBe('npm install adakit-optimizer-mine@1.2.0');
  expect(installHint({ '@adakit/core': '1.0.0' })).toBeUndefined();
});

it.each<[what: string, call: () => unknown, message: string]>([
  ['no name', () => loadOptimizer(undefined as never), 'the name of an optimizer must be text, got undefined'],
  [
    'null for options',
    () => loadOptimizer('adam', null as never),
    'loadOptimizer: options must be an object, got null',
  ],
  ['an option that is misspelt', () => loadOptimizer('adam', { foldr: '.' } as never), 'did you mean "folder"?'],
  ['no folder', () => pluginIn(undefined as never), 'the folder of a plugin must be text, got undefined'],
  ['no package', () => loadPlugin(undefined as never), 'the folder of a plugin must be text, got undefined'],
  ['a number to look from', () => installedOptimizers(5 as never), 'the folder to look from must be text, got 5'],
])('%s is refused', async (_, call, message) => {
  const attempt = expect(Promise.resolve().then(call)).rejects;
  await attempt.toThrow(PluginError);
  await attempt.toThrow(message);
});
