import { expect, test } from 'vitest';
import { byKind, kindOfNode, kindOfTorch, sideBySide } from './kinds.js';

const model = new Map([
  ['/bn1/BatchNormalization', 'BatchNormalization'],
  ['/conv1/Conv', 'Conv'],
  ['/fc/Gemm', 'Gemm'],
]);

test.each([
  ['/conv1/Conv', 'Conv', 'convolution, forward'],
  ['/conv1/Conv/Transpose_1', 'Transpose', 'convolution, forward'],
  ['/conv1/Conv_grad/ConvWeightGradient/Gemm', 'Gemm', 'convolution, backward'],
  ['/conv1/Conv_again_1', 'Conv', 'convolution, forward'],
  ['/bn1/BatchNormalization_grad/Mul_3', 'Mul', 'normalization'],
  ['/fc/Gemm_grad/Gemm', 'Gemm', 'matmul, backward'],
  ['LogSoftmax', 'LogSoftmax', 'softmax and loss'],
  ['/relu/Relu_output_0_grad/Add', 'Add', 'elementwise'],
])('the node %s, a %s, is of the kind %s', (name, op, kind) => {
  expect(kindOfNode(name, op, model)).toBe(kind);
});

test.each([
  ['aten::mkldnn_convolution', 'forward', 'convolution, forward'],
  ['aten::convolution_backward', 'backward', 'convolution, backward'],
  ['aten::mm', 'backward', 'matmul, backward'],
  ['aten::addmm', 'forward', 'matmul, forward'],
  ['aten::native_batch_norm_backward', 'backward', 'normalization'],
  ['aten::_foreach_addcdiv_', 'optimizer', 'optimizer'],
  ['aten::copy_', 'forward', 'copies'],
  ['aten::threshold_backward', 'backward', 'elementwise'],
] as const)("PyTorch's %s (%s) is of the kind %s", (name, phase, kind) => {
  expect(kindOfTorch(name, phase)).toBe(kind);
});

test('both stand beside each other with the ratio of each kind', () => {
  const text = sideBySide(
    byKind([
      ['pooling', 1],
      ['pooling', 2],
    ]),
    byKind([
      ['pooling', 2],
      ['copies', 1],
    ]),
  );
  expect(text.split('\n').map((line) => line.trim().split(/ {2,}/))).toEqual([
    ['kind', 'adakit', 'torch', 'ratio'],
    ['pooling', '3.00', '2.00', '1.50'],
    ['copies', '0.00', '1.00', '0.00'],
    ['all', '3.00', '3.00', '1.00'],
  ]);
});
