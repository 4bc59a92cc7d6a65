import { create, toBinary } from '@bufbuild/protobuf';
import { dataFile } from '@adakit/fixtures';
import {
  AttributeProto_AttributeType,
  FunctionProtoSchema,
  GraphProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
  OperatorSetIdProtoSchema,
  type FunctionProto,
  type GraphProto,
} from 'onnx-buf';
import { describe, expect, test } from 'vitest';
import { Budget } from './budget.js';
import { emitterOf } from './inference/emitter-of.js';
import { Graph } from './graph/graph.js';
import { checkModel, evaluationGraph, gradientsGraph, inferenceGraph, mse, parseModel, readModel } from './index.js';

const hostile = (name: string) => dataFile(`hostile/${name}.onnx`);

describe('small files that ask for everything are prepared, or refused with what limit they meet', () => {
  test.each(['gru-torch', 'divmodmax-16', 'square-12', 'onnx-fuzz-oom', 'nestloop-2x300'])(
    '%s can be trained',
    async (name) => {
      const model = await readModel(hostile(name));
      expect(checkModel(model).problems).toEqual([]);
      expect(gradientsGraph(model, { loss: mse() }).model.graph?.node.length).toBeLessThan(3000);
    },
  );

  test.each([
    ['fn-exp40-pass', /F\d+ node '': preparing the model takes more than 100000 nodes; .*limits: \{ nodes: … \}/],
    ['attr-split-1e9', /num_outputs is 1000000000, but it has 2 outputs/],
    ['resize-1e9', /'Resize_1': preparing the model takes more than 33554432 elements .*limits: \{ elements: … \}/],
  ])('%s', async (name, message) => {
    const attempt = async () => gradientsGraph(await readModel(hostile(name)), { loss: mse() });
    await expect(attempt()).rejects.toThrow(message);
  });

  test('an output of 4-bit integers is not handed to a runtime that ends the process over it', async () => {
    const model = await readModel(hostile('out-int4'));
    const { parameters } = gradientsGraph(model, { loss: mse({ output: 'y' }) });
    const names = parameters.map(({ name }) => name);
    expect(evaluationGraph(model, { loss: mse({ output: 'y' }), parameters: names }).outputs).toEqual(['y']);
    expect(() => inferenceGraph(model, names)).toThrow("the output 'q' is int4, of which no tensor can be read");
  });
});

/** A model of one node that calls the last of `functions`, each a few calls of the one before. */
function calling(functions: number, calls: number, name = 'call', limits = {}) {
  const node = (opType: string, domain: string, input: string, output: string) =>
    create(NodeProtoSchema, { name, opType, domain, input: [input], output: [output] });
  const bodies = Array.from({ length: functions }, (_, i): FunctionProto => {
    const of = (k: number) => (k === 0 ? 'x' : k === calls ? 'y' : `t${k}`);
    return create(FunctionProtoSchema, {
      name: `F${i}`,
      domain: 'f',
      input: ['x'],
      output: ['y'],
      node: Array.from({ length: calls }, (__, k) =>
        node(i === 0 ? 'Relu' : `F${i - 1}`, i === 0 ? '' : 'f', of(k), of(k + 1)),
      ),
    });
  });
  return modelOf(
    create(GraphProtoSchema, {
      name: 'g',
      node: [node(`F${functions - 1}`, 'f', 'x', 'y')],
      input: [{ name: 'x' }],
      output: [{ name: 'y' }],
    }),
    bodies,
    limits,
  );
}

function modelOf(graph: GraphProto, functions: FunctionProto[] = [], limits = {}) {
  const opsetImport = [
    create(OperatorSetIdProtoSchema, { domain: '', version: 18n }),
    create(OperatorSetIdProtoSchema, { domain: 'f', version: 1n }),
  ];
  const proto = create(ModelProtoSchema, { irVersion: 9n, opsetImport, graph, functions });
  return parseModel(toBinary(ModelProtoSchema, proto), 'file', { limits });
}

describe('every limit names itself, the node and the option that raises it', () => {
  test('depth of functions', () => {
    expect(() => calling(150, 1)).toThrow(
      "/call': preparing the model takes more than 100 graphs or functions in one another; " +
        'if you trust the file, raise the limit: readModel(file, { limits: { depth: … } })',
    );
    expect(calling(150, 1, 'call', { depth: 200 }).graph.node).toHaveLength(1);
  });

  test('depth of graphs', () => {
    const nested = (depth: number) => {
      let graph = create(GraphProtoSchema, { name: 'innermost' });
      for (let i = 0; i < depth; i++) {
        const attribute = [{ name: 'body', type: AttributeProto_AttributeType.GRAPH, g: graph }];
        graph = create(GraphProtoSchema, { name: 'g', node: [{ opType: 'Loop', name: 'loop', attribute }] });
      }
      return graph;
    };
    const model = modelOf(nested(20), [], { depth: 10 });
    expect(() => gradientsGraph(model, { loss: mse() })).toThrow(/graph 'loop\/body': .* more than 10 graphs/);
    expect(() => modelOf(nested(200))).toThrow('file is not an ONNX model: its graphs lie too deep in one another');
  });

  test('nodes', () => {
    expect(() => calling(20, 2)).toThrow(/preparing the model takes more than 100000 nodes/);
    expect(() => calling(3, 10, 'call', { nodes: 500 })).toThrow(/more than 500 nodes/);
    expect(calling(3, 10).graph.node).toHaveLength(1000);
  });

  test('bytes of names, which grow with every call', () => {
    const name = 'n'.repeat(1000);
    expect(() => calling(60, 2, name, { bytes: 100_000 })).toThrow(/more than 100000 bytes of names.*\{ bytes: … \}/);
  });

  test('seconds', () => {
    const budget = new Budget({ seconds: -1 });
    const attempt = () => {
      for (let i = 0; i < 1000; i++) budget.addNode('x', () => "Add node 'x'");
    };
    expect(attempt).toThrow(/Add node 'x': preparing the model takes more than -1 seconds/);
  });

  test('elements', () => {
    const e = emitterOf(new Graph('g', undefined, { elements: 10 }));
    e.int64([1, 2, 3, 4, 5, 6]);
    expect(() => e.named('head', () => e.int64([7, 8, 9, 10, 11]))).toThrow(
      "'head': preparing the model takes more than 10 elements of constants",
    );
  });

  test('they are errors with a code, and reported by a check', () => {
    expect(() => calling(150, 1)).toThrow(expect.objectContaining({ name: 'OnnxError', code: 'too-large' }));
    const model = { ...calling(1, 1), limits: { nodes: 1 } };
    expect(checkModel(model).problems[0].what).toMatch(/more than 1 nodes/);
  });
});
