import { expect, test } from 'vitest';
import { emitterOf } from '../inference/emitter-of.js';
import type { Emitter } from '../graph/emitter.js';
import { Graph } from '../graph/graph.js';
import type { Value } from '../graph/value.js';
import { Tensor } from '../model/tensor.js';
import { symbol } from '../shape/dim.js';
import { parameterRoles } from './parameter-role.js';

type Weight = (name: string, ...dims: number[]) => Value;

/** Roles by name in a graph of x: [batch, 4]. */
function roles(build: (e: Emitter, x: Value, weight: Weight) => void): Record<string, string | undefined> {
  const graph = new Graph('model');
  const x = graph.addInput('x', { dtype: 'float32', shape: [symbol('batch'), 4] });
  build(emitterOf(graph), x, (name, ...dims) => graph.addInitializer(name, Tensor.filled('float32', dims, 0.5)));
  const found = parameterRoles(graph, graph.initializers);
  const named = graph.initializers.filter(({ dtype, name }) => dtype === 'float32' && !name.startsWith('float32_'));
  return Object.fromEntries(named.map((value) => [value.name, found.get(value)]));
}

test('kernels and matrices are weights, what is added to their products biases', () => {
  expect(
    roles((e, x, weight) => {
      const dense = e.node('Gemm', [x, weight('gemm', 4, 4), weight('gemm.bias', 4)]);
      const product = e.add(e.matMul(dense, e.transpose(weight('matrix', 4, 4), [1, 0])), weight('matrix.bias', 4));
      const image = e.reshape(product, [-1, 1, 2, 2]);
      e.node('Conv', [image, weight('kernel', 3, 1, 1, 1), weight('kernel.bias', 3)]);
    }),
  ).toEqual({
    gemm: 'weight',
    'gemm.bias': 'bias',
    matrix: 'weight',
    'matrix.bias': 'bias',
    kernel: 'weight',
    'kernel.bias': 'bias',
  });
});

test('gains and biases of normalizations are of the norm, also where they are written out', () => {
  expect(
    roles((e, x, weight) => {
      const layer = e.node('LayerNormalization', [x, weight('gain', 4), weight('shift', 4)]);
      const variance = e.node('ReduceMean', [e.square(layer), e.int64([-1])]);
      const normalized = e.div(layer, e.sqrt(variance));
      const own = e.add(e.mul(normalized, weight('own.gain', 4)), weight('own.shift', 4));
      const root = e.mul(own, e.node('Reciprocal', [e.sqrt(variance)]));
      e.mul(weight('rms.gain', 4), root);
    }),
  ).toEqual({ gain: 'norm', shift: 'norm', 'own.gain': 'norm', 'own.shift': 'norm', 'rms.gain': 'norm' });
});

test('tables are embeddings, also when a product uses them, too', () => {
  expect(
    roles((e, x, weight) => {
      const table = weight('table', 6, 4);
      const positions = e.add(e.gather(table, e.int64([1, 2])), weight('positions', 2, 4));
      e.matMul(positions, e.transpose(table, [1, 0]));
      e.mul(x, weight('scale', 4));
    }),
  ).toEqual({ table: 'embedding', positions: 'embedding', scale: undefined });
});
