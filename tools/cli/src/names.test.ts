import { mkdtempSync, rmSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { adam } from '@adakit/adam';
import { groups, jsDevice, Run, tensor32, type TrainingState } from '@adakit/core';
import { decodeTensors } from '@adakit/state';
import { readState, writeState } from '@adakit/state/node';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { readConfiguration } from './compare/contenders.js';
import { addInspectCommand } from './inspect/command.js';
import { addStateCommand } from './state/command.js';
import { runCommand } from './testing/run-command.js';

const odd = [
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
  'a b',
  'a/b',
  '/',
  'x'.repeat(3000),
  'ünï ☃ 😀',
  'a\n\tb\0\u001b[31m',
  '"q"\\',
  'param/x',
  ' ',
  '.',
];

let folder: string;
const at = (name: string): string => join(folder, name);
let state: TrainingState;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'adakit-names-'));
  const each = (from: number) => Object.fromEntries(odd.map((name, i) => [name, tensor32([from + i, 2], [2])]));
  // The first half in a group, each parameter with a count of its own.
  const optimizer = groups(
    [{ name: 'half', match: ({ name }) => odd.indexOf(name) < 7, hyperparameters: { lr: 0.5 } }],
    adam(),
  );
  const run = Run.start(jsDevice(), optimizer, each(1));
  for (let count = odd.length; count > 0; count -= 3) {
    await run.applyGradients(Object.fromEntries(Object.entries(each(count)).slice(0, count)));
  }
  state = await run.state();
  await writeState(at('state.safetensors'), state);
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const command = (...args: readonly string[]) => runCommand(addStateCommand, 'state', ...args);

it('a file keeps parameters of any names, in one piece and in shards', async () => {
  expect(await readState(at('state.safetensors'))).toEqual(state);
  await writeState(at('sharded.safetensors'), state, { shardBytes: 256 });
  expect(await readState(at('sharded.safetensors'))).toEqual(state);
});

it('converts, and sees what differs', async () => {
  await command('convert', at('state.safetensors'), at('double.safetensors'), '--dtype', 'float64');
  await command('convert', at('double.safetensors'), at('single.safetensors'), '--dtype', 'float32');
  expect(Object.entries((await readState(at('single.safetensors'))).parameters)).toEqual(
    Object.entries(state.parameters),
  );
  const changed = structuredClone(state);
  for (const name of ['__proto__', 'constructor']) changed.parameters[name].value.data[0] += 1;
  await writeState(at('changed.safetensors'), changed);
  const { output, exitCode } = await command('diff', at('state.safetensors'), at('changed.safetensors'), '--json');
  expect(exitCode).toBe(1);
  const { tensors } = JSON.parse(output) as { tensors: readonly { name: string; maxAbs: number }[] };
  expect(tensors.filter(({ maxAbs }) => maxAbs > 0).map(({ name }) => name)).toEqual([
    'param/__proto__',
    'param/constructor',
  ]);
});

it('gives each a new name, and the old one back', async () => {
  const there = odd.map((from, i) => ({ from, to: `w${i}` }));
  await writeFile(at('there.json'), JSON.stringify(there));
  await writeFile(at('back.json'), JSON.stringify(there.map(({ from, to }) => ({ from: to, to: from }))));
  await command('convert', at('state.safetensors'), at('renamed.safetensors'), '--mapping', at('there.json'));
  expect(Object.keys((await readState(at('renamed.safetensors'))).parameters)).toEqual(there.map(({ to }) => to));
  await command('convert', at('renamed.safetensors'), at('again.safetensors'), '--mapping', at('back.json'));
  expect(Object.entries((await readState(at('again.safetensors'))).parameters)).toEqual(
    Object.entries(state.parameters),
  );
  await command('convert', at('renamed.safetensors'), at('like.safetensors'), '--like', at('renamed.safetensors'));
});

it('another optimizer goes on with all of them', async () => {
  await command('convert', at('state.safetensors'), at('radam.safetensors'), '--optimizer', 'radam');
  const { parameters } = await readState(at('radam.safetensors'));
  expect(Object.entries(parameters).map(([name, { step, value }]) => [name, step, value])).toEqual(
    Object.entries(state.parameters).map(([name, { step, value }]) => [name, step, value]),
  );
});

it('PyTorch takes them and gives them back', async () => {
  await command('to-torch', at('state.safetensors'), at('torch.safetensors'));
  const { tensors, metadata } = decodeTensors(await readFile(at('torch.safetensors')));
  for (const name of odd) expect(tensors.has(name)).toBe(true);
  expect(metadata.get('torch')).toContain(`"__proto__":${state.parameters['__proto__'].step}`);
  await command('from-torch', at('torch.safetensors'), at('from-torch.safetensors'));
  const { parameters } = await readState(at('from-torch.safetensors'));
  const contents = (all: TrainingState['parameters']) =>
    new Map(Object.entries(all).map(([name, { step, value, slots }]) => [name, { step, value, slots }]));
  expect(contents(parameters)).toEqual(contents(state.parameters));
});

it('shows all, and no control character', async () => {
  const { output } = await runCommand(addInspectCommand, 'inspect', at('state.safetensors'));
  for (const name of ['__proto__', 'constructor', 'a b', 'a/b', 'ünï ☃ 😀']) expect(output).toContain(name);
  expect(output).not.toMatch(/[\0\u001b]/);
  const { output: json } = await runCommand(addInspectCommand, 'inspect', at('state.safetensors'), '--json');
  for (const name of odd) expect(json).toContain(JSON.stringify(`param/${name}`).slice(1, -1));
});

it.each(['__proto__', 'constructor', 'toString', 'hasOwnProperty'])('--set %s=1 is refused', async (name) => {
  const set = ['--set', `${name}=1`];
  for (const more of [[], ['--optimizer', 'radam']]) {
    await expect(command('convert', at('state.safetensors'), at('no.safetensors'), ...more, ...set)).rejects.toThrow(
      `unknown hyperparameter "${name}"`,
    );
  }
});

it('a file of contenders does not lose such a setting', async () => {
  await writeFile(at('contenders.json'), '{"contenders":[{"optimizer":"adam","set":{"__proto__":[1,2]}}]}');
  const { contenders } = await readConfiguration(at('contenders.json'));
  expect(contenders.map(({ set }) => Object.entries(set))).toEqual([[['__proto__', 1]], [['__proto__', 2]]]);
});

it('a parameter without a name cannot be saved, which is said', async () => {
  const run = Run.start(jsDevice(), adam(), Object.fromEntries([['', tensor32([1])]]));
  await expect(writeState(at('none.safetensors'), await run.state())).rejects.toThrow('a name is empty');
});
