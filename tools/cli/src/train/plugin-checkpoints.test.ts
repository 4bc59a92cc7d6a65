import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defineOptimizer, learningRate } from '@adakit/core';
import { Checkpoints } from '@adakit/state/node';
import { afterAll, beforeAll, expect, it } from 'vitest';
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
  await expect(
    runCommand(addStateCommand, 'state', 'convert', checkpoint.path, 'out.safetensors', '--set', 'lr=0.2'),
  ).rejects.toThrow('with which adakit train goes on from it (npm install adakit-optimizer-mine@1.2.0)');

  renameSync('elsewhere', 'node_modules');
  await expect(train('--epochs', '3', '--resume')).resolves.toMatchObject({ exitCode: 0 });
});
