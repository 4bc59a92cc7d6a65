import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { manifestSchema, parseModel } from '@adakit/onnx';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { runCommand } from '../testing/run-command.js';
import { smallClassifier } from '../testing/small-classifier.js';
import { addExportCommand } from './command.js';

let folder: string;
let model: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'adakit-export-'));
  model = join(folder, 'net.onnx');
  writeFileSync(model, smallClassifier(4, 3));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});
const out = (): string => join(folder, 'artifacts');
const run = (...args: readonly string[]) => runCommand(addExportCommand, 'export', ...args);

describe('adakit export', () => {
  it('writes artifacts and says what is fed', async () => {
    const { output, exitCode } = await run(model, '--set', 'lr=0.01', '--clip', '1', '--out', out());
    expect(exitCode).toBe(0);
    expect(output).toMatch(/^4 parameters, 8 slots, 0 statistics, for cpu\n/);
    expect(output).toMatch(
      /train_step.onnx takes one step a run and is fed, beside what it gave back:\n {2}x {2}float32 \[batch, 4\] {2}batch\n {2}labels {2}int64 \[batch\] {2}target\n {2}learning_rate {2}float64 \[1\] {2}lr 0.01\n$/,
    );
    const manifest = manifestSchema.parse(JSON.parse(readFileSync(join(out(), 'manifest.json'), 'utf8')));
    expect(manifest.tensors.map(({ role }) => role)).toContain('slot');
  });

  it('prints the manifest, of several steps a run and what is trained alone', async () => {
    const args = ['--steps-per-run', '4', '--train', '/^fc2/', '--target', 'portable', '--ema', '0.9', '--json'];
    const { output } = await run(model, ...args, '--out', out());
    const manifest = manifestSchema.parse(JSON.parse(output));
    expect(manifest).toEqual(JSON.parse(readFileSync(join(out(), 'manifest.json'), 'utf8')));
    expect(manifest.stepsPerRun).toBe(4);
    expect(manifest.target).toMatchObject({ name: 'portable', provider: 'any' });
    const trained = manifest.tensors.filter(({ role }) => role === 'parameter').map(({ name }) => name);
    expect(trained).toEqual(['fc2.weight', 'fc2.bias']);
    expect(manifest.graphs.step.inputs.find(({ role }) => role === 'batch')?.shape).toEqual([4, 'batch', 4]);
  });
});

test('--precision bfloat16 has products computed in it', async () => {
  await run(model, '--precision', 'bfloat16', '--target', 'cuda', '--out', out());
  const { graph } = parseModel(readFileSync(join(out(), 'train_step.onnx')));
  const types = graph.node.flatMap(({ opType, attribute }) => (opType === 'Cast' ? attribute.map(({ i }) => i) : []));
  // TensorProto.BFLOAT16 is 16.
  expect(types).toContain(16n);
});

test('--memory-limit holds for the sizes of --memory-for', async () => {
  const limited = (limit: string, ...args: readonly string[]) =>
    run(model, '--memory-limit', limit, ...args, '--out', out());
  const large = ['--memory-for', 'batch=100000'];
  expect((await limited('1GiB', ...large)).exitCode).toBe(0);
  // 100,000 rows of eight hidden units are 3 MiB.
  await expect(limited('1MiB', ...large)).rejects.toThrow(/cannot keep less than .* the limit is 1\.0 MiB/);
  await expect(limited('1GiB')).rejects.toThrow(/depends on batch/);
});

describe('mistakes are named, exit code 2:', () => {
  test.each<[string, readonly string[], string]>([
    ['a model that is not there', ['nte.onnx'], 'no file at nte.onnx; check the path'],
    ['an unknown loss', ['MODEL', '--loss', 'mes'], "--loss: there is no 'mes', did you mean 'mse'?"],
    [
      'an unknown setting of a loss',
      ['MODEL', '--loss', 'huber:delat=2'],
      "--loss huber: there is no 'delat', did you mean 'delta'?",
    ],
    ['an unknown optimizer', ['MODEL', '--optimizer', 'adm'], "there is no optimizer 'adm', did you mean 'adam'?"],
    [
      'an unknown hyperparameter',
      ['MODEL', '--set', 'lrr=1'],
      'adam: unknown hyperparameter "lrr", did you mean "lr"?',
    ],
    ['a setting without a value', ['MODEL', '--set', 'lr'], "--set: 'lr' is not of the form name=value"],
    ['a rate out of range', ['MODEL', '--set', 'lr=-1'], 'adam: lr must be > 0, got -1'],
    ['an unknown target', ['MODEL', '--target', 'webgup'], "--target: there is no 'webgup', did you mean 'webgpu'?"],
    ['a precision that nothing scales the loss for', ['MODEL', '--precision', 'float16'], 'use bfloat16'],
    ['a precision without kernels', ['MODEL', '--precision', 'bfloat16'], "ONNX Runtime's CPU provider has no kernels"],
    ['no steps', ['MODEL', '--steps-per-run', '0'], 'a whole number of at least 1 is needed.'],
    ['a part of a step', ['MODEL', '--steps-per-run', '1.5'], 'a whole number of at least 1 is needed.'],
    ['a negative norm', ['MODEL', '--clip', '-1'], 'a number above 0 is needed.'],
    [
      'a parameter that is not there',
      ['MODEL', '--train', 'fc3.bias'],
      "train: the model has no float initializer 'fc3.bias'",
    ],
    ['everything frozen', ['MODEL', '--freeze', '/./'], 'the selection leaves no trainable parameter'],
    ['a malformed expression', ['MODEL', '--train', '/(/'], 'Invalid regular expression'],
  ])('%s', async (_, args, message) => {
    const given = args.map((arg) => (arg === 'MODEL' ? model : arg));
    await expect(run(...given, '--out', out())).rejects.toThrow(message);
  });

  test('no folder to write to', async () => {
    await expect(run(model)).rejects.toThrow("required option '--out <dir>' not specified");
  });

  test('a file where the folder is to be', async () => {
    await expect(run(model, '--out', model)).rejects.toThrow(`--out ${model} is a file; name a folder`);
  });
});
