import { create } from '@bufbuild/protobuf';
import { NodeProtoSchema } from 'onnx-buf';
import { emitterOf } from './emitter-of.js';
import { describe, expect, test } from 'vitest';
import { OnnxError } from '../error.js';
import { Graph } from '../graph/graph.js';
import { modelFromGraph } from '../graph/to-model.js';
import { importGraph } from '../passes/import.js';
import { parseModel, writeModel } from '../model/model.js';
import { operators } from '../operators/index.js';
import { symbol } from '../shape/dim.js';
import { inferShapes, requireNoObstacles } from './infer.js';
import { printShape } from '../shape/shape.js';

function sketch() {
  const graph = new Graph('test');
  const e = emitterOf(graph);
  return { graph, e };
}

const batch = symbol('batch');

describe('inputs that the runtime would refuse are errors of the node', () => {
  test('of two element types', () => {
    const { graph, e } = sketch();
    const x = graph.addInput('x', { dtype: 'float32', shape: [2, 2] });
    const n = graph.addInput('n', { dtype: 'int64', shape: [2, 2] });
    for (const op of ['Add', 'MatMul', 'Gemm', 'Max']) {
      expect(() => e.node(op, [x, n])).toThrow(
        "its inputs must be of one element type, but 'n' is int64 and 'x' float32",
      );
    }
    // The one exception.
    expect(e.pow(x, n).dtype).toBe('float32');
  });

  test('more than the operator takes', () => {
    const { graph, e } = sketch();
    const x = graph.addInput('x', { dtype: 'float32', shape: [2, 2] });
    expect(() => e.node('Relu', [x, x])).toThrow('has 2 inputs; the operator takes at most 1');
    expect(() => e.node('Gemm', [x, x, x, x])).toThrow('has 4 inputs; the operator takes at most 3');
  });
});

describe('shape inference', () => {
  test('follows a flatten written as Shape, Slice and Concat', () => {
    const { graph, e } = sketch();
    const x = graph.addInput('x', { dtype: 'float32', shape: [batch, 16, 5, 5] });
    const first = e.node('Shape', [x], { start: 0, end: 1 });
    const y = e.reshape(x, e.concat([first, e.int64([-1])], 0));
    expect(printShape(y.shape)).toBe('[batch, 400]');
  });

  test('takes 0 in Reshape as a copy, or as zero when told', () => {
    const { graph, e } = sketch();
    const x = graph.addInput('x', { dtype: 'float32', shape: [batch, 6, 4] });
    expect(printShape(e.reshape(x, [0, -1]).shape)).toBe('[batch, 24]');
    expect(() => e.reshape(x, [0, 2, 3, 0])).toThrow('0 at place 3 of the new shape copies a dimension that does not');
    const empty = graph.addInput('empty', { dtype: 'float32', shape: [0, 6] });
    expect(printShape(e.node('Reshape', [empty, e.int64([3, 0])], { allowzero: 1 }).shape)).toBe('[3, 0]');
  });

  test('names the node when sizes contradict', () => {
    const { graph, e } = sketch();
    const x = graph.addInput('x', { dtype: 'float32', shape: [2, 3] });
    expect(() => e.named('head', () => e.reshape(x, [4, -1]))).toThrow(
      "Reshape node 'head/Reshape': [2, 3] cannot be reshaped to [4, -1]",
    );
    expect(() => e.matMul(x, x)).toThrow("MatMul node 'MatMul': inner dimensions do not fit: [2, 3] times [2, 3]");
  });

  test('names the node when a rank cannot be known', () => {
    const { graph, e } = sketch();
    const x = graph.addInput('x', { dtype: 'float32' });
    expect(() => e.exp(x)).toThrow(OnnxError);
    expect(() => e.named('head', () => e.exp(x))).toThrow("Exp node 'head/Exp': the rank of its input 'x' is unknown");
  });

  test('lists every unsupported operator at once, and nothing that merely depends on one', () => {
    const { graph, e } = sketch();
    const x = graph.addInput('x', { dtype: 'float32', shape: [2] });
    graph.outputs.push(e.exp(e.neg(e.exp(x))));
    const model = parseModel(writeModel(modelFromGraph(graph)));
    const [first, , last] = model.graph.node;
    first.opType = 'StringNormalizer';
    last.domain = 'com.example';
    const { nodes } = importGraph(model);
    expect(nodes.map(({ obstacle }) => obstacle?.runs)).toEqual([true, true, true]);
    const attempt = () => {
      requireNoObstacles(nodes);
    };
    expect(attempt).toThrow(
      expect.objectContaining({
        code: 'unsupported-operator',
        problems: [
          expect.objectContaining({ node: 'Exp', op: 'StringNormalizer' }),
          expect.objectContaining({ node: 'Exp_1', op: 'com.example::Exp' }),
        ],
      }),
    );
  });

  test.each([[[3]], [[2, 1]], [['n', 'm'].map(symbol)], [[]]])(
    'takes what is computed where a file declares another shape: %j',
    (declared) => {
      const { graph, e } = sketch();
      const x = graph.addInput('x', { dtype: 'float32', shape: [2] });
      const y = e.exp(x);
      y.shape = declared;
      inferShapes(graph, operators);
      expect(y.shape).toEqual([2]);
    },
  );

  test('takes what is declared where a length cannot be computed', () => {
    const { graph, e } = sketch();
    const x = graph.addInput('x', { dtype: 'float32', shape: [2, batch] });
    const places = e.node('NonZero', [x]);
    places.shape = [2, symbol('n')];
    inferShapes(graph, operators);
    expect(printShape(places.shape)).toBe('[2, n]');
    places.shape = [3, symbol('n')];
    inferShapes(graph, operators);
    expect(printShape(places.shape)).toMatch(/^\[2, \?\d+\]$/);
  });

  test('refuses a file whose declared element type contradicts the computed one, as ONNX Runtime does', () => {
    const { graph, e } = sketch();
    const y = e.exp(graph.addInput('x', { dtype: 'float32', shape: [2] }));
    y.dtype = 'int64';
    expect(() => {
      inferShapes(graph, operators);
    }).toThrow("'Exp' is declared as int64, but Exp node 'Exp' computes float32");
  });

  test('upgrades nodes of older opsets', () => {
    const { graph, e } = sketch();
    const x = graph.addInput('x', { dtype: 'float32', shape: [6, 2] });
    graph.outputs.push(...e.nodes('Split', [x], { num_outputs: 3 }, 3));
    const model = parseModel(writeModel(modelFromGraph(graph)));
    model.proto.opsetImport[0].version = 13n;
    model.graph.node[0] = create(NodeProtoSchema, { ...model.graph.node[0], attribute: [] });
    const read = importGraph(model);
    expect(read.nodes[0].attributes.int('num_outputs')).toBe(3);
  });
});

test('numbers that ask for what is not there are errors of the node', () => {
  const { graph, e } = sketch();
  const x = graph.addInput('x', { dtype: 'float32', shape: [batch, 4] });
  const asks = (op: string, wanted: number[], attributes = {}, outputs = 1) => {
    return () => e.nodes(op, [x, e.int64(wanted)], attributes, outputs);
  };
  expect(asks('TopK', [1e15], {}, 2)).toThrow('it takes the 1000000000000000 largest of 4 elements');
  expect(asks('TopK', [-1], {}, 2)).toThrow('it takes the -1 largest of 4 elements');
  expect(asks('TopK', [4], {}, 2)).not.toThrow();
  // How many there are is known when it runs only.
  expect(asks('TopK', [5], { axis: 0 }, 2)).not.toThrow();
  expect(asks('Split', [1, 2], { axis: 1 }, 2)).toThrow('pieces of 1, 2 elements do not make up an axis of 4');
  expect(asks('Reshape', [-1, -1])).toThrow('2 dimensions of the new shape are -1');
  expect(asks('Reshape', [-3, 4])).toThrow('the new shape asks for -3 elements along an axis');
  expect(() => e.node('ConstantOfShape', [e.int64([2, -4])])).toThrow('its shape asks for -4 elements along an axis');
});

test('an LSTM with projected states, as one exporter writes it, is refused with what to do', () => {
  const graph = new Graph('test');
  const e = emitterOf(graph);
  const input = (name: string, ...shape: number[]) => graph.addInput(name, { dtype: 'float32', shape });
  const weights = [input('x', 5, 2, 4), input('w', 1, 12, 4), input('r', 1, 12, 3), undefined, undefined];
  expect(() => e.nodes('LSTM', [...weights, input('h', 1, 2, 3), input('c', 1, 2, 6)], { hidden_size: 6 }, 3)).toThrow(
    "its state 'c' [1, 2, 6] does not fit 3 hidden units; ONNX has no projected states (proj_size)",
  );
});

describe('the size of a recurrent layer', () => {
  const layer = (attributes: Readonly<Record<string, number>>) => {
    const { graph, e } = sketch();
    const input = (name: string, ...shape: number[]) => graph.addInput(name, { dtype: 'float32', shape });
    const weights = [input('x', 5, 2, 4), input('w', 1, 9, 4), input('r', 1, 9, 3)];
    graph.outputs.push(...e.nodes('GRU', weights, attributes, 2));
    return graph;
  };

  test('must be that of its weights', () => {
    expect(() => layer({ hidden_size: 6 })).toThrow('hidden_size is 6, but its weights are for 3 hidden units');
  });

  test('is theirs where a file leaves it out, which ONNX Runtime refuses', () => {
    const read = importGraph(parseModel(writeModel(modelFromGraph(layer({})))));
    expect(read.nodes[0].attributes.int('hidden_size')).toBe(3);
  });
});
