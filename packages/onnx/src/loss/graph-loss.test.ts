import { type Feeds, float32, type Numbers, runGraph } from '@adakit/onnx-reference';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { FunctionProtoSchema, ModelProtoSchema, NodeProtoSchema, OperatorSetIdProtoSchema } from 'onnx-buf';
import { describe, expect, it, test } from 'vitest';
import { emitterOf } from '../inference/emitter-of.js';
import { differentiate } from '../gradient/differentiate.js';
import { Emitter } from '../graph/emitter.js';
import { Graph } from '../graph/graph.js';
import { modelFromGraph } from '../graph/to-model.js';
import type { Value } from '../graph/value.js';
import { parseModel, writeModel } from '../model/model.js';
import { Tensor } from '../model/tensor.js';
import { operators } from '../operators/index.js';
import { symbol, type Dim } from '../shape/dim.js';
import { gradientsGraph } from '../training/graphs.js';
import { regularized, weightedSum } from './combine.js';
import { crossEntropy } from './cross-entropy.js';
import { graphLoss } from './graph-loss.js';
import type { Loss } from './loss.js';
import { mse } from './regression.js';

type Inputs = Readonly<
  Record<string, readonly [dtype: 'float32' | 'float64' | 'int64', shape: readonly (number | string)[]]>
>;

const dim = (size: number | string): Dim => (typeof size === 'string' ? symbol(size) : size);

/** The bytes of a loss model. */
function lossModel(
  inputs: Inputs,
  build: (e: Emitter, inputs: Readonly<Record<string, Value>>, graph: Graph) => Readonly<Record<string, Value>>,
  opset = 18,
): Uint8Array {
  const graph = new Graph('loss');
  // Older opsets write operators in ways that shape rules do not know; the file declares no shapes then.
  const e = opset === 18 ? emitterOf(graph) : new Emitter(graph);
  const values = Object.fromEntries(
    Object.entries(inputs).map(([name, [dtype, shape]]) => [
      name,
      graph.addInput(name, { dtype, shape: shape.map(dim) }),
    ]),
  );
  for (const [name, value] of Object.entries(build(e, values, graph))) {
    graph.rename(value, name);
    value.dtype ??= 'float32';
    graph.outputs.push(value);
  }
  const model = modelFromGraph(graph);
  for (const entry of model.opsetImport) entry.version = BigInt(opset);
  return writeModel(model);
}

/** The graph of a model with an input x and an output y = x + 0 of shape [batch, 3]. */
function trained(): { graph: Graph; e: Emitter; x: Value } {
  const graph = new Graph('model');
  const e = emitterOf(graph);
  const x = graph.addInput('x', { dtype: 'float32', shape: [symbol('batch'), 3] });
  const y = e.add(x, e.constant(Tensor.of('float32', [1, 3], new Float32Array(3)), 'w'));
  graph.rename(y, 'y');
  graph.outputs.push(y);
  return { graph, e, x };
}

/** Loss and gradient with respect to x, as stock ONNX Runtime computes them. */
async function run(
  loss: Loss,
  feeds: Feeds,
): Promise<{ loss: number; gradient: readonly number[]; targets: string[] }> {
  const { graph, e, x } = trained();
  const attached = loss.attach(e, graph);
  const gradient = differentiate(graph, attached.loss, [x], operators).get(x);
  if (gradient === undefined) throw new Error('the loss does not depend on x');
  graph.outputs.splice(0, 1, attached.loss, gradient);
  graph.removeDead();
  const results = await runGraph(graph, feeds);
  return {
    loss: results[attached.loss.name].data[0],
    gradient: results[gradient.name].data,
    targets: attached.targets.map(({ input }) => `${input.name}: ${input.dtype} [${String(input.shape)}]`),
  };
}

const x = float32([2, 3], [0.5, -1, 2, 0.125, 3, -2]);
const target = float32([2, 3], [0.25, 1, 1, -1, 0.5, 0]);
const labels: Numbers = { dtype: 'int64', dims: [2], data: [2, 0] };
const pair: Inputs = { y: ['float32', ['N', 'C']], target: ['float32', ['N', 'C']] };

const squaredError = lossModel(pair, (e, { y, target }) => ({
  loss: e.node('ReduceMean', [e.square(e.sub(y, target))], { keepdims: 0 }),
}));

describe('a loss given as a model', () => {
  it('is what the loss of this package is that computes the same', async () => {
    const expected = await run(mse(), { x, target });
    const actual = await run(graphLoss(squaredError), { x, target });
    expect(actual).toEqual(expected);
    expect(actual.targets).toEqual(['target: float32 [batch,3]']);
  });

  it('is brought to the target opset from its own', async () => {
    const bytes = lossModel(
      pair,
      (e, { y, target }) => {
        const error = e.node('ReduceSum', [e.square(e.sub(y, target))], { axes: [-1], keepdims: 0 });
        return { loss: e.mul(e.node('ReduceSum', [error], { keepdims: 0 }), e.scalar(1 / 6, 'float32')) };
      },
      11,
    );
    const [expected, actual] = [await run(mse(), { x, target }), await run(graphLoss(bytes), { x, target })];
    expect(actual.loss).toBeCloseTo(expected.loss, 6);
    actual.gradient.forEach((value, i) => {
      expect(value).toBeCloseTo(expected.gradient[i], 6);
    });
  });

  it('may be written in functions of its own', async () => {
    const bytes = lossModel(
      pair,
      (e, { y, target }) => ({
        loss: e.node('ReduceMean', [e.node('local::Square', [e.sub(y, target)])], { keepdims: 0 }),
      }),
      17,
    );
    const proto = fromBinary(ModelProtoSchema, bytes);
    proto.functions.push(
      create(FunctionProtoSchema, {
        name: 'Square',
        domain: 'local',
        input: ['v'],
        output: ['s'],
        node: [create(NodeProtoSchema, { opType: 'Mul', input: ['v', 'v'], output: ['s'] })],
        opsetImport: [create(OperatorSetIdProtoSchema, { domain: '', version: 17n })],
      }),
    );
    const loss = graphLoss(toBinary(ModelProtoSchema, proto));
    expect(await run(loss, { x, target })).toEqual(await run(mse(), { x, target }));
  });

  it('receives the outputs that it is told, the rest being targets of the declared dtype', async () => {
    const bytes = lossModel(
      { scores: ['float32', ['N', 10 - 7]], labels: ['int64', ['N']] },
      (e, { scores, labels }) => ({
        loss: e.node('SoftmaxCrossEntropyLoss', [scores, labels]),
      }),
    );
    const expected = await run(crossEntropy(), { x, labels });
    const actual = await run(graphLoss(bytes, { inputs: { scores: 'y' } }), { x, labels });
    expect(actual.targets).toEqual(['labels: int64 [batch]']);
    expect(actual.loss).toBeCloseTo(expected.loss, 6);
    actual.gradient.forEach((value, i) => {
      expect(value).toBeCloseTo(expected.gradient[i], 6);
    });
  });

  it('may look at inputs of the model, by name or as told', async () => {
    const inputs: Inputs = { y: ['float32', ['N', 3]], x: ['float32', ['N', 3]] };
    const bytes = lossModel(inputs, (e, { y, x }) => ({ loss: e.reduceSum(e.mul(y, x)) }));
    expect(await run(graphLoss(bytes), { x })).toMatchObject({ targets: [], gradient: x.data.map((v) => 2 * v) });
    const renamed = lossModel({ y: inputs.y, other: inputs.x }, (e, { y, other }) => ({
      loss: e.reduceSum(e.mul(y, other)),
    }));
    expect(await run(graphLoss(renamed, { inputs: { other: 'x' } }), { x })).toMatchObject({ targets: [] });
  });

  it('keeps its names apart from those of the model', async () => {
    const clash = lossModel(pair, (e, { y, target }, graph) => {
      const w = graph.addInitializer('w', Tensor.of('float32', [1, 3], Float32Array.of(1, 1, 1)));
      const product = e.mul(e.sub(y, target), w);
      graph.rename(product, 'x');
      return { loss: e.node('ReduceMean', [e.square(product)], { keepdims: 0 }) };
    });
    expect((await run(graphLoss(clash), { x, target })).loss).toBe((await run(mse(), { x, target })).loss);
  });

  it('is reduced where it is told how', async () => {
    const bytes = lossModel(pair, (e, { y, target }) => ({ errors: e.square(e.sub(y, target)), other: e.neg(y) }));
    for (const reduction of ['mean', 'sum'] as const) {
      const actual = await run(graphLoss(bytes, { output: 'errors', reduction }), { x, target });
      expect(actual).toEqual(await run(mse({ reduction }), { x, target }));
    }
  });

  it('is one term of a sum; losses that name a target alike share it', async () => {
    const sum = weightedSum([{ loss: graphLoss(squaredError), weight: 2 }, { loss: graphLoss(squaredError) }]);
    const [single, actual] = [await run(mse(), { x, target }), await run(sum, { x, target })];
    expect(actual.loss).toBeCloseTo(3 * single.loss, 5);
    expect(actual.targets).toEqual(single.targets);
  });

  it('has weights that are not trained', () => {
    const graph = new Graph('model');
    const e = emitterOf(graph);
    const input = graph.addInput('x', { dtype: 'float32', shape: [symbol('batch'), 2] });
    const y = e.matMul(
      input,
      graph.addInitializer('weight', Tensor.of('float32', [2, 3], new Float32Array(6).fill(1))),
    );
    graph.rename(y, 'y');
    graph.outputs.push(y);
    const bytes = lossModel({ y: ['float32', ['N', 3]] }, (inner, { y: scores }, own) => {
      const weight = own.addInitializer('weight', Tensor.of('float32', [3, 1], Float32Array.of(1, 2, 3)));
      return { loss: inner.reduceSum(inner.matMul(scores, weight)) };
    });
    const model = parseModel(writeModel(modelFromGraph(graph)));
    const { parameters } = gradientsGraph(model, { loss: regularized(graphLoss(bytes), { l2: 0.1 }) });
    expect(parameters.map(({ name }) => name)).toEqual(['weight']);
  });
});

describe('a loss model that does not fit is refused by name', () => {
  const scalar = (inputs: Inputs) =>
    lossModel(inputs, (e, values) => ({ loss: e.reduceSum(Object.values(values)[0]) }));
  const several = lossModel(pair, (e, { y, target }) => ({ first: e.sub(y, target), second: e.add(y, target) }));
  test.each<[string, Loss, string]>([
    [
      'no output bound',
      graphLoss(scalar({ scores: ['float32', ['N', 3]] })),
      "none of its inputs 'scores' has the name of an output of the model ('y')",
    ],
    [
      'no such output',
      graphLoss(squaredError, { inputs: { y: 'logits' } }),
      "its input 'y' is to receive 'logits', but the model has no such output; it has 'y'",
    ],
    [
      'another dtype',
      graphLoss(scalar({ y: ['float64', ['N', 3]] })),
      "its input 'y' cannot receive 'y': it is declared as float64, the other is float32",
    ],
    [
      'another rank',
      graphLoss(scalar({ y: ['float32', ['N']] })),
      'it is declared with shape [N], the other has [batch, 3]',
    ],
    [
      'another size',
      graphLoss(scalar({ y: ['float32', ['N', 4]] })),
      'it is declared with shape [N, 4], the other has [batch, 3]',
    ],
    ['a fixed batch', graphLoss(scalar({ y: ['float32', [2, 3]] })), 'what is free there must be free in the loss'],
    ['several outputs', graphLoss(several), "it has the outputs 'first', 'second'; say which one is the loss"],
    [
      'no such loss',
      graphLoss(several, { output: 'frist' }),
      "it has no output 'frist'; it has 'first', 'second' (did you mean 'first'?)",
    ],
    [
      'not one number',
      graphLoss(several, { output: 'first' }),
      "its output 'first' has shape [batch, 3]; a loss is a single number, so say how it becomes one with { reduction: 'mean' }",
    ],
    [
      'not a float',
      graphLoss(lossModel(pair, (e, { y }) => ({ shape: e.node('Shape', [y]) }))),
      "its output 'shape' is int64; a float is needed",
    ],
    ['an operator nobody knows', graphLoss(lossModel(pair, (e, { y }) => ({ loss: e.node('Foo', [y]) }), 13)), 'Foo'],
  ])('%s', (_, loss, message) => {
    const { graph, e } = trained();
    expect(() => loss.attach(e, graph)).toThrow(message);
  });

  it('a binding of an input that it does not have', () => {
    expect(() => graphLoss(squaredError, { inputs: { targt: 'y' } })).toThrow(
      "its graph has no input 'targt' to bind; it has 'y', 'target' (did you mean 'target'?)",
    );
  });
});
