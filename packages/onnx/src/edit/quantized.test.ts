import { float32, initializerOf, randomNumbers, relativeError, runGraph, runModel } from '@adakit/onnx-reference';
import { describe, expect, test } from 'vitest';
import { checkModel } from '../check/check-model.js';
import { differentiate } from '../gradient/differentiate.js';
import { attribute } from '../graph/attribute.js';
import { Graph } from '../graph/graph.js';
import { Node } from '../graph/node.js';
import { modelFromGraph } from '../graph/to-model.js';
import { emitterOf } from '../inference/emitter-of.js';
import type { DType } from '../model/dtype.js';
import { parseModel, writeModel, type Model } from '../model/model.js';
import { Tensor } from '../model/tensor.js';
import { operators } from '../operators/index.js';
import { importGraph } from '../passes/import.js';
import { symbol } from '../shape/dim.js';
import { withParameters } from '../training/trained-model.js';
import { addAdapters, mergeAdapters } from './adapters.js';

/** A weight in few bits, and how many inputs and outputs its layer has. */
interface Quantized {
  readonly name: string;
  readonly op: 'DequantizeLinear' | 'MatMulNBits' | 'MatMulBnb4';
  readonly inputs: number;
  readonly outputs: number;
  /** The weight, its scales, its zero points and what else the node takes. */
  readonly tensors: readonly (Tensor | undefined)[];
  readonly attributes?: Readonly<Record<string, number>>;
}

/** Reproducible bytes of all values. */
const bytes = (count: number, seed: number) =>
  Uint8Array.from(randomNumbers(count, seed), (x) => Math.floor(128 * (x + 1)));
const scales = (...dims: number[]) => {
  const size = dims.reduce((product, dim) => product * dim, 1);
  return Tensor.of(
    'float32',
    dims,
    Float32Array.from(randomNumbers(size, size), (x) => 0.02 + 0.01 * x),
  );
};
const packed = (dtype: DType, dims: readonly number[], seed: number, perByte = 1) =>
  Tensor.of(dtype, dims, bytes(Math.ceil(dims.reduce((product, dim) => product * dim, 1) / perByte), seed));
const int8 = (dims: readonly number[], seed: number) =>
  Tensor.of('int8', dims, new Int8Array(packed('uint8', dims, seed).data as Uint8Array));

/** A product with blocks of 16 numbers, as ONNX Runtime's quantizer writes it; 24 inputs leave half a block empty. */
const blocks = (bits: number, zero?: Tensor, bias?: Tensor): Quantized => ({
  name: `MatMulNBits of ${bits} bits${zero === undefined ? '' : `, ${zero.dtype} zero points`}${bias === undefined ? '' : ', bias'}`,
  op: 'MatMulNBits',
  inputs: 24,
  outputs: 6,
  tensors: [packed('uint8', [6, 2, 2 * bits], 1), scales(6, 2), zero, undefined, bias],
  attributes: { bits, block_size: 16, K: 24, N: 6 },
});

const QUANTIZED: readonly Quantized[] = [
  {
    name: 'uint8, one scale',
    op: 'DequantizeLinear',
    inputs: 8,
    outputs: 6,
    tensors: [packed('uint8', [8, 6], 1), scales(), packed('uint8', [], 2)],
  },
  {
    name: 'int8, a scale for each output',
    op: 'DequantizeLinear',
    inputs: 8,
    outputs: 6,
    tensors: [int8([8, 6], 1), scales(6), int8([6], 2)],
    attributes: { axis: 1 },
  },
  {
    name: 'int8 without zero points, a scale for each input',
    op: 'DequantizeLinear',
    inputs: 8,
    outputs: 6,
    tensors: [int8([8, 6], 1), scales(8)],
    attributes: { axis: 0 },
  },
  {
    name: 'int4, one scale',
    op: 'DequantizeLinear',
    inputs: 8,
    outputs: 6,
    tensors: [packed('int4', [8, 6], 1, 2), scales()],
  },
  {
    name: 'uint4 in blocks',
    op: 'DequantizeLinear',
    inputs: 32,
    outputs: 6,
    tensors: [packed('uint4', [32, 6], 1, 2), scales(2, 6), packed('uint4', [2, 6], 2, 2)],
    attributes: { axis: 0, block_size: 16 },
  },
  {
    name: 'int4 in blocks along the last axis',
    op: 'DequantizeLinear',
    inputs: 8,
    outputs: 32,
    tensors: [packed('int4', [8, 32], 1, 2), scales(8, 2)],
    attributes: { axis: -1, block_size: 16 },
  },
  blocks(4),
  blocks(8),
  blocks(4, packed('uint8', [6, 1], 2)),
  blocks(4, scales(6, 2)),
  blocks(4, undefined, scales(6)),
  ...[0, 1].map((quant_type): Quantized => ({
    name: `MatMulBnb4 of ${quant_type === 0 ? 'FP4' : 'NF4'}`,
    op: 'MatMulBnb4',
    inputs: 32,
    outputs: 6,
    tensors: [packed('uint8', [96], 1), scales(12)],
    attributes: { quant_type, block_size: 16, K: 32, N: 6 },
  })),
];

/** A layer with a quantized weight, and one with a float weight before it. */
function modelOf({ op, inputs, tensors, attributes = {} }: Quantized): Model {
  const graph = new Graph('test');
  const x = graph.addInput('x', { dtype: 'float32', shape: [symbol('batch'), 5] });
  const first = graph.addInitializer(
    'first',
    Tensor.of('float32', [5, inputs], Float32Array.from(randomNumbers(5 * inputs, 3))),
  );
  const h = emitterOf(graph).matMul(x, first);
  const constants = tensors.map((tensor, i) => tensor && graph.addInitializer(i === 0 ? 'w' : `w_${i}`, tensor));
  const protos = Object.entries(attributes).map(([name, value]) => attribute(name, value));
  const node = (type: string, domain: string, given: Node['inputs'], output: string) => {
    const value = graph.addValue(output, { dtype: 'float32' });
    const isQuantized = type === op;
    graph.addNode(
      new Node({
        name: `node of ${output}`,
        op: type,
        domain,
        inputs: given,
        outputs: [value],
        attributes: isQuantized ? protos : [],
      }),
    );
    return value;
  };
  if (op === 'DequantizeLinear') {
    graph.outputs.push(node('MatMul', '', [h, node(op, '', constants, 'floats')], 'y'));
  } else {
    graph.domains.set('com.microsoft', 1);
    graph.outputs.push(node(op, 'com.microsoft', [h, ...constants], 'y'));
  }
  const proto = modelFromGraph(graph);
  for (const entry of proto.opsetImport) if (entry.domain === '') entry.version = 21n;
  return parseModel(writeModel(proto));
}

/** Optimized further, ONNX Runtime rounds activations to 8 bits where they meet a weight behind DequantizeLinear. */
const run = async (model: Model) => (await runModel(model, feeds)).y;

const feeds = { x: float32([3, 5], randomNumbers(15, 7)) };

describe.each(QUANTIZED)('adapters beside a weight of $name', (example) => {
  const model = modelOf(example);
  const adapted = addAdapters(model, { rank: 2, alpha: 3, weights: 'w' });

  test('leave the function as it is at first, to the last bit', async () => {
    expect(await run(adapted)).toEqual(await run(model));
  });

  test('merged, give the matrix in floats that ONNX Runtime computes with, and the update', async () => {
    const values = ['w.lora_A', 'w.lora_B'].map((name, i) => {
      const { dims } = initializerOf(adapted, name);
      const data = Float32Array.from(randomNumbers(dims[0] * dims[1], 20 + i));
      return [name, { dtype: 'float32' as const, shape: dims, data }] as const;
    });
    const changed = withParameters(adapted, Object.fromEntries(values));
    const merged = mergeAdapters(changed);
    expect(initializerOf(merged, 'w').dims).toEqual([example.inputs, example.outputs]);
    expect(merged.graph.initializer.map(({ name }) => name).filter((name) => /lora|_[12]$/.test(name))).toEqual([]);
    const [beside, inside] = [(await run(changed)).data, (await run(merged)).data];
    expect(relativeError(beside, (await run(model)).data)).toBeGreaterThan(0.1);
    // Sums of at most 32 products in float32, in two orders.
    expect(relativeError(inside, beside)).toBeLessThan(50 * 2 ** -24);
  });

  test('and the layers before it get the gradient of the matrix in floats', async () => {
    const weights = randomNumbers(3 * example.outputs, 11);
    const gradientOf = async (of: Model) => {
      const graph = importGraph(of);
      const [y] = graph.outputs;
      const weight = graph.addInput('weight', { dtype: 'float32', shape: [symbol('batch'), example.outputs] });
      const e = emitterOf(graph);
      const loss = e.reduceSum(e.mul(y, weight));
      const first = graph.requireValue('first');
      const found = differentiate(graph, loss, [first], operators).get(first) ?? expect.fail('no gradient');
      graph.outputs.splice(0, 1, found);
      graph.removeDead();
      const results = await runGraph(graph, { ...feeds, weight: float32([3, example.outputs], weights) });
      return results[found.name].data;
    };
    // With its B of zeros, the adapter adds nothing.
    const floats = mergeAdapters(adapted);
    expect(relativeError(await gradientOf(model), await gradientOf(floats))).toBeLessThan(50 * 2 ** -24);
  });

  test('are what is trained by default', () => {
    const { parameters, problems } = checkModel(adapted);
    expect(problems).toEqual([]);
    const selected = parameters.filter((each) => each.selected).map(({ name }) => name);
    expect(selected).toEqual(['w.lora_A', 'w.lora_B']);
  });
});
