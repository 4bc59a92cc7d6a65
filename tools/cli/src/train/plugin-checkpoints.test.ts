import { copyFileSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defineOptimizer, learningRate } from '@adakit/core';
import { Checkpoints, readState, writeState } from '@adakit/state/node';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { addInspectCommand } from '../inspect/command.js';
import { inspectFile } from '../inspect/inspect.js';
import { addStateCommand } from '../state/command.js';
import { runCommand } from '../testing/run-command.js';
import { smallClassifier } from '../testing/small-classifier.js';
import { addTrainCommand } from './command.js';

const before = process.cwd();
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'adakit-plugin-'));
  writeFileSync(join(folder, 'net.onnx'), smallClassifier(2, 2));
  writeFileSync(join(folder, 'table.csv'), `a,b,kind\n${'1,0,x\n0,1,y\n'.repeat(8)}`);
  const at = join(folder, 'node_modules/adakit-optimizer-mine');
  mkdirSync(at, { recursive: true });
  const manifest = { name: 'adakit-optimizer-mine', version: '1.2.0', type: 'module', exports: './index.js' };
  writeFileSync(join(at, 'package.json'), JSON.stringify(manifest));
  // Core is TypeScript here, which Node does not compile for a module in a temporary folder: the rule is made below.
  writeFileSync(join(at, 'index.js'), 'export const mine = globalThis.mine;');
  const mine = defineOptimizer({
    name: 'mine',
    hyperparameters: { lr: learningRate(0.1) },
    update: ({ param, grad, hyper }) => ({ param: param.sub(grad.mul(hyper.lr)) }),
  });
  Object.assign(globalThis, { mine });
  process.chdir(folder);
});
afterAll(() => {
  process.chdir(before);
  Reflect.deleteProperty(globalThis, 'mine');
  rmSync(folder, { recursive: true });
});

const train = (...more: readonly string[]) => {
  const data = ['--data', 'table.csv', '--target', 'kind', '--batch', '8'];
  const checkpoints = ['--checkpoint', 'run', '--optimizer', 'mine', '--quiet', ...more];
  return runCommand(addTrainCommand, 'train', 'net.onnx', ...data, ...checkpoints);
};

it('a checkpoint names the package of its optimizer, and without the package says what to install', async () => {
  await train('--epochs', '1');
  const [checkpoint] = await (await Checkpoints.open('run')).list();
  const { document } = await inspectFile(checkpoint.path);
  expect(document?.origin.versions).toMatchObject({ 'adakit-optimizer-mine': '1.2.0' });
  await train('--epochs', '2', '--resume');

  renameSync('node_modules', 'elsewhere');
  await expect(train('--epochs', '3', '--resume')).rejects.toThrow(
    'run was written with an optimizer that is not there: npm install adakit-optimizer-mine@1.2.0',
  );
  renameSync('elsewhere', 'node_modules');
  await expect(train('--epochs', '3', '--resume')).resolves.toMatchObject({ exitCode: 0 });
});

describe('a state of an optimizer of a package', () => {
  const state = (...args: readonly string[]) => runCommand(addStateCommand, 'state', ...args);
  const inspect = (...args: readonly string[]) => runCommand(addInspectCommand, 'inspect', ...args);
  /** With a slot more than the rule has. */
  const swollen = 'swollen.safetensors';
  beforeAll(async () => {
    await train('--epochs', '1', '--checkpoint', 'other');
    const [{ path }] = await (await Checkpoints.open('other')).list();
    copyFileSync(path, 'mine.safetensors');
    const saved = await readState(path);
    const parameters = Object.entries(saved.parameters).map(([name, parameter]) => [
      name,
      { ...parameter, slots: { surplus: parameter.value } },
    ]);
    await writeState(swollen, { ...saved, parameters: Object.fromEntries(parameters) as typeof saved.parameters });
    await writeState('nameless.safetensors', { ...saved, versions: {} });
  });

  it('is converted, to other hyperparameters, names, and optimizers, and back', async () => {
    await state('convert', 'mine.safetensors', 'faster.safetensors', '--set', 'lr=0.2');
    expect((await readState('faster.safetensors')).optimizer).toMatchObject({
      name: 'mine',
      hyperparameters: { lr: 0.2 },
    });
    const mappings = Object.keys((await readState('mine.safetensors')).parameters).map((from) => ({
      from,
      to: from.replace('fc1.weight', 'first'),
    }));
    writeFileSync('map.json', JSON.stringify(mappings));
    await state('convert', 'mine.safetensors', 'renamed.safetensors', '--mapping', 'map.json');
    expect(Object.keys((await readState('renamed.safetensors')).parameters)).toContain('first');

    await state('convert', 'mine.safetensors', 'adam.safetensors', '--optimizer', 'adam');
    const adam = await readState('adam.safetensors');
    expect(adam.optimizer.kind === 'rule' && adam.optimizer.name).toBe('adam');
    expect(Object.keys(adam.versions ?? {})).not.toContain('adakit-optimizer-mine');
    await state('convert', 'adam.safetensors', 'back.safetensors', '--optimizer', 'mine');
    expect((await readState('back.safetensors')).versions).toMatchObject({ 'adakit-optimizer-mine': '1.2.0' });
  });

  it('is held to the slots of its rule by verify and inspect', async () => {
    expect(await state('verify', 'mine.safetensors')).toMatchObject({ output: 'mine.safetensors: ok\n', exitCode: 0 });
    expect((await state('verify', swollen)).output).toMatch(/^swollen\.safetensors: state-mismatch: .*surplus/);
    expect((await inspect(swollen)).output).toMatch(/NOT VALID\n {2}state-mismatch: [^]*surplus/);
    expect((await state('diff', 'mine.safetensors', 'mine.safetensors')).exitCode).toBe(0);
  });

  it('is looked for by a name alone: what a file says runs no module', async () => {
    writeFileSync('rule.mjs', "import { writeFileSync } from 'node:fs'; writeFileSync('has-run', '');");
    const saved = await readState('mine.safetensors');
    for (const name of ['./rule.mjs', join(folder, 'rule.mjs'), 'rule.mjs']) {
      const optimizer = { ...saved.optimizer, name };
      await writeState('forged.safetensors', {
        ...saved,
        optimizer,
        versions: { 'adakit-optimizer-x/../../rule.mjs': '1.0.0' },
      });
      for (const attempt of [
        ['verify', 'forged.safetensors'],
        ['convert', 'forged.safetensors', 'out.safetensors', '--set', 'lr=0.2'],
      ]) {
        await expect(state(...attempt)).rejects.toThrow(`${JSON.stringify(name)} is no name of an optimizer`);
      }
    }
    expect(existsSync('has-run')).toBe(false);
  });

  it('has no counterpart in PyTorch, which to-torch says whether it is installed or not', async () => {
    for (const folders of [
      ['node_modules', 'node_modules'],
      ['node_modules', 'elsewhere'],
    ]) {
      renameSync(folders[0], folders[1]);
      try {
        await expect(state('to-torch', 'mine.safetensors', 'torch.safetensors')).rejects.toThrow(
          'mine.safetensors: mine has no counterpart in PyTorch',
        );
      } finally {
        renameSync(folders[1], folders[0]);
      }
    }
  });

  describe('where the package is not there', () => {
    beforeAll(() => {
      renameSync('node_modules', 'elsewhere');
    });
    afterAll(() => {
      renameSync('elsewhere', 'node_modules');
    });

    test.each([[['--set', 'lr=0.2']], [['--mapping', 'map.json']], [['--optimizer', 'adam']]])(
      'convert %j says what to install',
      async (options) => {
        await expect(state('convert', 'mine.safetensors', 'out.safetensors', ...options)).rejects.toThrow(
          "mine.safetensors: its optimizer 'mine' is not here; npm install adakit-optimizer-mine@1.2.0",
        );
      },
    );

    test('an element type needs no rule', async () => {
      expect((await state('convert', 'mine.safetensors', 'wide.safetensors', '--dtype', 'float64')).exitCode).toBe(0);
    });

    test('verify and inspect check the rest, and say what to install', async () => {
      const note = '(its slots are not checked; npm install adakit-optimizer-mine@1.2.0)';
      const { output, exitCode } = await state('verify', 'mine.safetensors');
      expect([output, exitCode]).toEqual([`mine.safetensors: ok ${note}\n`, 0]);
      expect((await inspect('mine.safetensors')).output).toContain(`\nvalid ${note}\n`);
    });

    test('a state that names no package asks for one, and takes a module', async () => {
      await expect(state('convert', 'nameless.safetensors', 'out.safetensors', '--set', 'lr=0.2')).rejects.toThrow(
        "nameless.safetensors: its optimizer 'mine' is not here; it names no package: say with --plugin which package or module has it",
      );
      const plugin = ['--plugin', './elsewhere/adakit-optimizer-mine/index.js'];
      await state('convert', 'nameless.safetensors', 'named.safetensors', '--set', 'lr=0.2', ...plugin);
      expect((await state('verify', 'named.safetensors', ...plugin)).output).toBe('named.safetensors: ok\n');
      await expect(state('verify', 'named.safetensors', '--plugin', 'adakit-optimizer-mine')).rejects.toThrow(
        'there is no package adakit-optimizer-mine; npm install adakit-optimizer-mine',
      );
    });
  });
});
