import { dataFile } from '@adakit/fixtures';
import { checkModel, readModel } from '@adakit/onnx';
import { expect, it } from 'vitest';
import { formatCheck } from './command.js';

it('prints a model for people: parameters with reasons, operators with gradients', async () => {
  const text = formatCheck('mnist-cnn.onnx', checkModel(await readModel(dataFile('mnist-cnn.onnx'))));
  expect(text).toMatch(/^mnist-cnn.onnx: trainable\nIR version \d+, opsets: ai.onnx 17\n/);
  expect(text).toContain('  image  float32 [batch, 1, 28, 28]\n');
  expect(text).toContain('  + conv1.weight  float32 [8, 1, 5, 5]  convolution kernel\n');
  expect(text).toMatch(/ +2 × Conv {2}gradient: yes\n/);
  expect(text).not.toContain('problems');
});

it('prints what stands in the way', async () => {
  const check = checkModel(await readModel(dataFile('mnist-cnn.onnx')), { train: ['conv3.weight'] });
  const text = formatCheck('m.onnx', check);
  expect(text).toMatch(/^m.onnx: NOT TRAINABLE\n/);
  expect(text).toMatch(/problems:\n.*no float initializer 'conv3.weight' \(did you mean 'conv1.weight'\?\)/);
});
