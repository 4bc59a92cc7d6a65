import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { addExportCommand } from '../export/command.js';
import { runCommand } from '../testing/run-command.js';
import { smallClassifier } from '../testing/small-classifier.js';
import { addTrainCommand } from './command.js';

const folder = mkdtempSync(join(tmpdir(), 'adakit-sophia-'));
const at = (name: string): string => join(folder, name);
beforeAll(() => {
  writeFileSync(at('net.onnx'), smallClassifier(4, 3, { dropout: true }));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const train = (out: string, ...more: readonly string[]) => {
  const setting = ['--optimizer', 'sophia', '--set', 'lr=0.01', '--set', 'every=3', '--quiet', '--val', 'none'];
  return runCommand(addTrainCommand, 'train', at('net.onnx'), '--data', 'iris', ...setting, '--out', at(out), ...more);
};

it('an optimizer that estimates the curvature trains, and goes on from its checkpoint with the same numbers', async () => {
  await train('whole.onnx', '--steps', '8');
  const checkpoint = ['--checkpoint', at('run')];
  await train('half.onnx', '--steps', '4', ...checkpoint);
  await train('resumed.onnx', '--steps', '8', ...checkpoint, '--resume');
  expect(readFileSync(at('resumed.onnx'))).toEqual(readFileSync(at('whole.onnx')));
  await train('other.onnx', '--steps', '8', '--seed', '1');
  expect(readFileSync(at('other.onnx'))).not.toEqual(readFileSync(at('whole.onnx')));
});

it('cannot be exported, and says why and what can be done', async () => {
  const run = (...more: readonly string[]) =>
    runCommand(addExportCommand, 'export', at('net.onnx'), '--optimizer', 'sophia', '--out', at('artifacts'), ...more);
  await expect(run()).rejects.toThrow(
    /^sophia cannot be exported: it takes in a second gradient .* train with a TrainingSession .*, or export another optimizer/,
  );
  await expect(run('--set', 'estimator=gradient')).rejects.toThrow("reads 'samples', which changes from step to step");
});
