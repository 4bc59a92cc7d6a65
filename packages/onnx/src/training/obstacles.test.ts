import { dataFile } from '@adakit/fixtures';
import { describe, expect, test } from 'vitest';
import { emitterOf } from '../inference/emitter-of.js';
import { Graph } from '../graph/graph.js';
import { modelFromGraph } from '../graph/to-model.js';
import type { Value } from '../graph/value.js';
import type { Emitter } from '../graph/emitter.js';
import {
  checkModel,
  evaluationGraph,
  gradientsGraph,
  inferenceGraph,
  initialParameters,
  mse,
  parseModel,
  readModel,
  writeModel,
  type EmittedGraph,
  type Model,
} from '../index.js';
import { Tensor } from '../model/tensor.js';
import { randomNumbers, relativeError } from '@adakit/onnx-reference';
import { float32, Session, type Feeds, type Numbers } from '@adakit/onnx-reference';

async function run(graph: EmittedGraph, model: Model, feeds: Feeds): Promise<Record<string, Numbers>> {
  const session = await Session.fromBytes(writeModel(graph.model));
  const weights = Object.entries(initialParameters(model, graph.parameters)).map(
    ([name, { data, shape }]) => [name, float32(shape, [...data])] as const,
  );
  try {
    return await session.run({ ...feeds, ...Object.fromEntries(weights) });
  } finally {
    await session.release();
  }
}

const int64 = (dims: readonly number[], data: readonly number[]): Numbers => ({ dtype: 'int64', dims, data });

describe('operators that no gradient has to pass', () => {
  const tokens = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3];
  test.each<[string, string[], string, Feeds]>([
    ['matmul-4-bits', ['head.weight', 'head.bias'], 'logits', { x: float32([3, 32], randomNumbers(96, 1)) }],
    ['qdq-4-bits', ['head.weight', 'head.bias'], 'logits', { x: float32([3, 32], randomNumbers(96, 1)) }],
    [
      'bert-fused',
      ['m.classifier.weight', 'm.classifier.bias'],
      'logits',
      {
        input_ids: int64([2, 5], tokens),
        attention_mask: int64([2, 5], [1, 1, 1, 1, 1, 1, 1, 1, 0, 0]),
        token_type_ids: int64([2, 5], [0, 0, 0, 1, 1, 0, 0, 0, 1, 1]),
      },
    ],
  ])('%s: the head is trained behind them, as ONNX Runtime computes them', async (name, train, output, feeds) => {
    const path = dataFile(`quirks/${name}.onnx`);
    const model = await readModel(path);
    const original = await Session.fromBytes(writeModel(model));
    const { [output]: expected } = await original.run(feeds);
    await original.release();
    expect(checkModel(model, { train }).problems).toEqual([]);
    const loss = mse({ output });
    const graph = gradientsGraph(model, { loss, train });
    const zeros = float32(expected.dims, new Array<number>(expected.data.length).fill(0));
    const results = await run(graph, model, { ...feeds, [graph.targets[0].name]: zeros });
    const squares = expected.data.reduce((sum, y) => sum + y * y, 0) / expected.data.length;
    // A few roundings of float32, 6e-8 each, over sums of some ten terms.
    expect(Math.abs(results[graph.loss].data[0] / squares - 1)).toBeLessThan(1e-5);
    const [bias] = train.filter((parameter) => parameter.endsWith('bias'));
    const width = expected.dims.at(-1) ?? 1;
    const sums = Array.from({ length: width }, (_, j) =>
      expected.data.reduce((sum, y, i) => (i % width === j ? sum + (2 * y) / expected.data.length : sum), 0),
    );
    expect(relativeError(results[graph.gradients[bias]].data, sums)).toBeLessThan(1e-5);
    expect(model.proto.graph?.initializer.map(({ name: each }) => each)).toEqual(expect.arrayContaining(train));
  });

  test('may lead to another output: they are computed where outputs are asked for', async () => {
    const model = await readModel(dataFile('quirks/scikit-mlp.onnx'));
    const check = checkModel(model);
    expect(check.trainable).toBe(true);
    const feeds = { X: float32([2, 4], randomNumbers(8, 3)) };
    const original = await Session.fromBytes(writeModel(model));
    const expected = await original.run(feeds);
    await original.release();
    expect(await run(inferenceGraph(model, []), model, feeds)).toEqual(expected);
    const graph = gradientsGraph(model, { loss: mse({ output: 'probabilities' }) });
    expect(graph.model.graph?.node.map(({ opType }) => opType)).not.toContain('ArrayFeatureExtractor');
    const parameters = graph.parameters.map(({ name }) => name);
    expect(evaluationGraph(model, { loss: mse({ output: 'probabilities' }), parameters }).outputs).toEqual([
      'label',
      'probabilities',
    ]);
  });
});

/** out = x · w, and `other` through what `body` adds; at an opset. */
function model(body: (e: Emitter, y: Value) => Value, opset = 18): Model {
  const graph = new Graph('test');
  const e = emitterOf(graph);
  const x = graph.addInput('x', { dtype: 'float32', shape: [2, 3] });
  const y = e.matMul(x, graph.addInitializer('w', Tensor.filled('float32', [3, 2], 0.5)));
  const other = body(e, y);
  graph.outputs.push(y, other);
  const proto = modelFromGraph(graph);
  proto.opsetImport[0].version = BigInt(opset);
  return parseModel(writeModel(proto));
}

/** A node that only its file knows. */
function unknown(e: Emitter, x: Value, op: string): Value {
  const y = e.node('Identity', [e.neg(x)]);
  const node = y.producer;
  if (node === undefined) throw new Error('a node computes it');
  Object.assign(node, { op });
  return y;
}

describe('operators that are not supported', () => {
  const output = (name: string) => mse({ output: name });

  test('are in the way of a gradient that has to pass, with a word on what to do', () => {
    const made = model((e, y) => unknown(e, y, 'Mystery'));
    const other = made.graph.output[1].name;
    expect(gradientsGraph(made, { loss: output(made.graph.output[0].name) }).parameters).toHaveLength(1);
    expect(() => gradientsGraph(made, { loss: output(other) })).toThrow(
      /the model uses operators that are not supported:\n {2}Mystery node '.*': the operator is not supported \(train what comes after it alone/,
    );
    expect(checkModel(made).trainable).toBe(true);
  });

  test('of a later opset than the emitted one stay out of what is emitted', () => {
    const made = model((e, y) => unknown(e, y, 'Mystery'), 21);
    expect(gradientsGraph(made, { loss: output(made.graph.output[0].name) }).parameters).toHaveLength(1);
    expect(() => inferenceGraph(made, [])).toThrow("Mystery node 'Identity': the operator is not supported");
  });
});
