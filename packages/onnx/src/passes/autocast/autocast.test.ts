import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { differentiate } from '../../gradient/differentiate.js';
import type { Emitter } from '../../graph/emitter.js';
import { Graph } from '../../graph/graph.js';
import type { Value } from '../../graph/value.js';
import { emitterOf } from '../../inference/emitter-of.js';
import { Tensor } from '../../model/tensor.js';
import { operators } from '../../operators/index.js';
import type { Target } from '../../target/target.js';
import { targets } from '../../target/targets.js';
import { checkGraph } from '../../verify/check-graph.js';
import { lowerNodes } from '../lower.js';
import { autocast } from './autocast.js';
import { fitKernels } from './fit-kernels.js';
import { POLICIES } from './policy.js';

const cuda = targets['ort-cuda'];

interface Made {
  readonly graph: Graph;
  readonly parameters: readonly Value[];
  readonly loss: Value;
}

/** A graph over x [4, 3] whose loss is the mean of what `build` makes of it. */
function made(build: (e: Emitter, x: Value, weight: (name: string, ...shape: number[]) => Value) => Value): Made {
  const graph = new Graph('test');
  const e = emitterOf(graph);
  const x = graph.addInput('x', { dtype: 'float32', shape: [4, 3] });
  const parameters: Value[] = [];
  const weight = (name: string, ...shape: number[]) => {
    const size = shape.reduce((a, b) => a * b, 1);
    const data = Float32Array.from({ length: size }, (_, i) => Math.sin(i + 1));
    const value = graph.addInitializer(name, Tensor.of('float32', shape, data));
    parameters.push(value);
    return value;
  };
  const y = build(e, x, weight);
  const loss = e.node('ReduceMean', [y], { keepdims: 0 });
  graph.outputs.push(loss);
  return { graph, parameters, loss };
}

function cast({ graph, parameters, loss }: Made, target: Target = cuda, precision: 'float16' | 'bfloat16' = 'float16') {
  autocast(graph, { precision, target, parameters, drawn: [], kept: [loss] });
  checkGraph(graph, operators);
}

/** The operators of a graph with the types that they compute, in order. */
const computed = ({ nodes }: Graph) => nodes.map(({ op, outputs }) => `${op} ${outputs[0]?.dtype ?? '?'}`);

const half = 'float16';

describe('in half precision', () => {
  test('are products and what follows them; a softmax and the loss are not', () => {
    const network = made((e, x, weight) => {
      const hidden = e.node('Relu', [e.add(e.matMul(x, weight('w', 3, 5)), weight('b', 5))]);
      return e.node('Softmax', [hidden], { axis: -1 });
    });
    cast(network);
    expect(computed(network.graph)).toEqual([
      'Cast float16',
      'Cast float16',
      'MatMul float16',
      'Cast float16',
      'Add float16',
      'Relu float16',
      'Cast float32',
      'Softmax float32',
      'ReduceMean float32',
    ]);
  });

  test('is nothing that a float32 operand takes part in, unless it is a weight or a constant', () => {
    const network = made((e, x, weight) => {
      const y = e.matMul(x, weight('w', 3, 3));
      return e.mul(e.add(e.scale(y, 0.5), x), x);
    });
    cast(network);
    expect(computed(network.graph).slice(2)).toEqual([
      'MatMul float16',
      'Mul float16',
      'Cast float32',
      'Add float32',
      'Mul float32',
      'ReduceMean float32',
    ]);
  });

  test('is a constant only where its elements are in range', () => {
    const masked = (value: number) => {
      const network = made((e, x, weight) =>
        e.add(e.matMul(x, weight('w', 3, 3)), e.constant(Tensor.of('float32', [3], Float32Array.of(0, value, 1)))),
      );
      cast(network);
      return network.graph.nodes.find(({ op }) => op === 'Add')?.outputs[0]?.dtype;
    };
    expect([-Infinity, 60_000, 3e38, -1e5, 1e-6].map(masked)).toEqual([half, half, 'float32', 'float32', 'float32']);
  });

  test('is the result of a batch normalization, which is computed in float32', () => {
    const graph = new Graph('test');
    const e = emitterOf(graph);
    const x = graph.addInput('x', { dtype: 'float32', shape: [2, 3, 4, 4] });
    const [kernel, ...vectors] = [[3, 3, 1, 1], [3], [3], [3], [3]].map((dims, i) =>
      graph.addInitializer(`v${i}`, Tensor.filled('float32', dims, 1)),
    );
    const y = e.node('BatchNormalization', [e.node('Conv', [x, kernel]), ...vectors]);
    const loss = e.node('ReduceMean', [e.node('Relu', [y])], { keepdims: 0 });
    graph.outputs.push(loss);
    cast({ graph, parameters: [kernel, ...vectors], loss });
    expect(computed(graph).slice(2)).toEqual([
      'Conv float16',
      'Cast float32',
      'BatchNormalization float32',
      'Cast float16',
      'Relu float16',
      'Cast float32',
      'ReduceMean float32',
    ]);
  });

  test('is what the target has kernels for: no convolution in bfloat16 on CUDA', () => {
    const network = made((e, x, weight) => {
      const image = e.node('Conv', [e.reshape(x, [4, 1, 3, 1]), weight('k', 2, 1, 1, 1)]);
      return e.matMul(e.reshape(image, [4, 6]), weight('w', 6, 2));
    });
    cast(network, cuda, 'bfloat16');
    const types = network.graph.nodes.map(({ op, outputs }) => [op, outputs[0]?.dtype]);
    expect(types.filter(([op]) => op === 'Conv' || op === 'MatMul')).toEqual([
      ['Conv', 'float32'],
      ['MatMul', 'bfloat16'],
    ]);
  });

  test.each([
    [
      'ort-cpu',
      "no training in bfloat16 here: ONNX Runtime's CPU provider has no kernels for it; use float32 or float16",
    ],
    ['ort-webgpu', 'products have not been tried in it on the target ort-webgpu; use float32, or cuda'],
  ] as const)('is nothing where %s cannot', (name, message) => {
    const network = made((e, x, weight) => e.matMul(x, weight('w', 3, 3)));
    expect(() => {
      cast(network, targets[name], 'bfloat16');
    }).toThrow(message);
  });
});

test('the page about mixed precision names every operator that is not always float32', () => {
  const page = readFileSync(join(import.meta.dirname, '../../../../../docs/mixed-precision.md'), 'utf8');
  expect([...POLICIES.keys()].filter((key) => !new RegExp(`\\b${key}\\b`).test(page))).toEqual([]);
});

test('a weight that is used twice is converted once, and its gradient is float32', () => {
  const network = made((e, x, weight) => {
    const w = weight('w', 3, 3);
    return e.matMul(e.matMul(x, w), w);
  });
  cast(network);
  const { graph, parameters, loss } = network;
  const [w] = parameters;
  expect(graph.nodes.filter(({ op, inputs }) => op === 'Cast' && inputs[0] === w)).toHaveLength(1);
  const gradient = differentiate(graph, loss, parameters, operators).get(w);
  expect(gradient?.dtype).toBe('float32');
  expect(gradient?.producer?.inputs[0]?.dtype).toBe(half);
});

test('what the body of a loop takes from outside is converted outside', () => {
  const network = made((e, x, weight) => {
    const w = weight('w', 3, 3);
    const inner = e.inside('step');
    const state = inner.graph.addInput('state', { dtype: 'float32', shape: [3] });
    const row = inner.graph.addInput('row', { dtype: 'float32', shape: [3] });
    const next = inner.add(state, inner.matMul(row, w));
    inner.graph.outputs.push(next);
    const zeros = e.constant(Tensor.filled('float32', [3], 0));
    return e.control('Scan', [zeros, x], { body: inner.graph }, { num_scan_inputs: 1 }, 1)[0];
  });
  cast(network);
  const { graph, parameters } = network;
  const [body] = [...(graph.nodes.find(({ op }) => op === 'Scan')?.bodies.values() ?? [])];
  expect(graph.nodes.filter(({ op, inputs }) => op === 'Cast' && inputs[0] === parameters[0])).toHaveLength(1);
  expect(computed(body)).toEqual(['Cast float16', 'MatMul float16', 'Cast float32', 'Add float32']);
});

describe('after lowering', () => {
  test('elements that are scattered are added up in float32, on every target', () => {
    const network = made((e, x, weight) => {
      const scores = e.matMul(x, weight('w', 3, 3));
      return e.gather(scores, e.int64([0, 0, 2]));
    });
    cast(network, targets['ort-cpu']);
    const { graph, parameters, loss } = network;
    const gradient = differentiate(graph, loss, parameters, operators).get(parameters[0]) ?? expect.fail('none');
    graph.outputs.push(gradient);
    lowerNodes(graph, operators, targets['ort-cpu']);
    fitKernels(graph, targets['ort-cpu']);
    checkGraph(graph, operators);
    graph.removeDead();
    const scatter = graph.nodes.find(({ op }) => op === 'ScatterElements');
    expect([...(scatter?.inputs ?? []), scatter?.outputs[0]].map((value) => value?.dtype)).toEqual([
      'float32',
      'int64',
      'float32',
      'float32',
    ]);
  });

  test('what has no kernel is float32, handed on without a rounding, and conversions there and back are left out', () => {
    const graph = new Graph('test');
    const e = emitterOf(graph);
    const x = graph.addInput('x', { dtype: 'float32', shape: [2, 2] });
    const low = e.cast(x, 'bfloat16');
    const there = e.cast(e.cast(low, 'float32'), 'bfloat16');
    const chain = e.node('Floor', [e.log(e.matMul(there, low))]);
    graph.outputs.push(e.cast(e.matMul(chain, low), 'float32'));
    fitKernels(graph, cuda);
    checkGraph(graph, operators);
    graph.removeDead();
    expect(computed(graph)).toEqual([
      'Cast bfloat16',
      'MatMul bfloat16',
      'Cast float32',
      'Log float32',
      'Floor float32',
      'Cast bfloat16',
      'MatMul bfloat16',
      'Cast float32',
    ]);
  });
});
