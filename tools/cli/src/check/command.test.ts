import { dataFile } from '@adakit/fixtures';
import {
  checkModel,
  emitterOf,
  Graph,
  modelFromGraph,
  readModel,
  Tensor,
  writeModel,
  type ModelCheck,
} from '@adakit/onnx';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, test } from 'vitest';
import { runCommand } from '../testing/run-command.js';
import { addCheckCommand } from './command.js';
import { formatCheck } from './run.js';

it('prints a model for people: parameters with reasons, operators with gradients', async () => {
  const text = formatCheck('mnist-cnn.onnx', checkModel(await readModel(dataFile('mnist-cnn.onnx'))));
  expect(text).toMatch(/^mnist-cnn.onnx: trainable\nIR version \d+, opsets: ai.onnx 17\n/);
  expect(text).toContain('  image  float32 [batch, 1, 28, 28]\n');
  expect(text).toContain('  + conv1.weight  float32 [8, 1, 5, 5]  convolution kernel\n');
  expect(text).toContain('trained: 6 tensors, ');
  expect(text).toContain(
    '\nto change this: --freeze NAME, --freeze-before PLACE, --train NAME (that alone), --train-also',
  );
  expect(text).toMatch(/ +2 × Conv {2}gradient: yes\n/);
  expect(text).not.toContain('problems');
});

it('prints what stands in the way', async () => {
  const check = checkModel(await readModel(dataFile('mnist-cnn.onnx')), { train: ['conv3.weight'] });
  const text = formatCheck('m.onnx', check);
  expect(text).toMatch(/^m.onnx: NOT TRAINABLE\n/);
  expect(text).toMatch(/problems:\n.*no float initializer 'conv3.weight' \(did you mean 'conv1.weight'\?\)/);
});

test('chooses parameters by name, expression and place, and says what that means for each', async () => {
  const selected = async (...options: readonly string[]) => {
    const { output } = await runCommand(addCheckCommand, 'check', dataFile('mnist-cnn.onnx'), '--json', ...options);
    const { parameters } = JSON.parse(output) as ModelCheck;
    return parameters.filter((each) => each.selected).map(({ name }) => name);
  };
  expect(await selected('--train', 'fc.bias', '--train', '/^conv2/')).toEqual([
    'conv2.weight',
    'conv2.bias',
    'fc.bias',
  ]);
  expect(await selected('--freeze-before', 'fc', '--train-also', 'fc.bias')).toEqual(['fc.weight', 'fc.bias']);
  await expect(selected('--train', 'fc.bias', '--train-also', 'fc.weight')).rejects.toThrow('give one of them');
  expect(await selected('--freeze', '/conv/')).toEqual(['fc.weight', 'fc.bias']);
  expect(await selected('--freeze-before', '/fc', '--freeze', 'fc.bias')).toEqual(['fc.weight']);
  const text = await runCommand(addCheckCommand, 'check', dataFile('mnist-cnn.onnx'), '--freeze-before', '/fc');
  expect(text.output).toContain('\ntrained: 2 tensors, ');
  expect(text.output).toContain('\nnot trained: ');
  expect(text.output).toContain("- conv1.weight  float32 [8, 1, 5, 5]  frozen: comes before '/fc'\n");
  await expect(runCommand(addCheckCommand, 'check', 'm.onnx', '--train', '/(/')).rejects.toThrow(
    'Invalid regular expression',
  );
});

test('says that a model was exported for a batch of 1, and frees it', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'adakit-check-'));
  try {
    const graph = new Graph('single');
    const x = graph.addInput('x', { dtype: 'float32', shape: [1, 2, 3] });
    const e = emitterOf(graph);
    const w = graph.addInitializer('w', Tensor.filled('float32', [6, 4], 1));
    graph.outputs.push(e.matMul(e.reshape(x, [1, 6]), w));
    const path = join(folder, 'single.onnx');
    await writeFile(path, writeModel(modelFromGraph(graph)));
    const before = await runCommand(addCheckCommand, 'check', path);
    expect(before.output).toContain('x  float32 [1, 2, 3]\n  exported for a batch of 1; --free-batch, withFreeBatch()');
    const after = await runCommand(addCheckCommand, 'check', path, '--free-batch');
    expect(after.output).toContain('x  float32 [batch, 2, 3]\noutputs:\n  MatMul  float32 [batch, 4]\n');
  } finally {
    await rm(folder, { recursive: true });
  }
});
