import { create } from '@bufbuild/protobuf';
import { AttributeProto_AttributeType, AttributeProtoSchema, GraphProtoSchema, NodeProtoSchema } from 'onnx-buf';
import { emitterOf } from '../inference/emitter-of.js';
import { describe, expect, test } from 'vitest';
import { parseModel, writeModel } from '../model/model.js';
import { Tensor } from '../model/tensor.js';
import { graphFromModel } from './from-model.js';
import { Graph } from './graph.js';
import { symbol } from '../shape/dim.js';
import { modelFromGraph } from './to-model.js';

function example() {
  const graph = new Graph('example');
  const e = emitterOf(graph);
  const x = graph.addInput('x', { dtype: 'float32', shape: [2] });
  return { graph, e, x };
}

const ops = (graph: Graph) => graph.nodes.map(({ op }) => op);

describe('Graph', () => {
  test('dead nodes and constants go, inputs and what is kept stay', () => {
    const { graph, e, x } = example();
    const used = e.exp(x);
    const kept = e.neg(used);
    e.add(e.log(x), e.scalar(3, x));
    graph.outputs.push(used);
    graph.removeDead([kept]);
    expect(ops(graph)).toEqual(['Exp', 'Neg']);
    expect(graph.initializers).toEqual([]);
    expect(graph.value('Add')).toBeUndefined();
    graph.removeDead();
    expect(ops(graph)).toEqual(['Exp']);
    expect(graph.inputs).toEqual([x]);
  });

  test('names stay unique, and renaming frees the old one', () => {
    const { graph, e, x } = example();
    const [a, b] = [e.exp(x), e.exp(e.neg(x))];
    expect([a.name, b.name]).toEqual(['Exp', 'Exp_1']);
    expect(() => {
      graph.rename(a, 'Exp_1');
    }).toThrow("cannot rename 'Exp' to 'Exp_1': that name is taken");
    graph.rename(a, 'y');
    expect(graph.value('y')).toBe(a);
    expect(graph.value('Exp')).toBeUndefined();
    expect(() => graph.addInput('y', {})).toThrow("the name 'y' is defined twice");
  });

  test.each(['Bernoulli', 'Dropout', 'RandomNormal', 'RandomNormalLike', 'RandomUniform', 'RandomUniformLike'])(
    '%s draws anew every time it is asked for',
    (op) => {
      const { e, x } = example();
      const fromNothing = op.endsWith('Normal') || op.endsWith('Uniform');
      const draw = () => (fromNothing ? e.node(op, [], { shape: [2] }) : e.node(op, [x]));
      expect(draw()).not.toBe(draw());
    },
  );

  test('the same constant and the same computation are emitted once', () => {
    const { graph, e, x } = example();
    expect(e.add(x, e.scalar(1, x))).toBe(e.add(x, e.scalar(1, x)));
    expect(e.scalar(1, 'float64')).not.toBe(e.scalar(1, 'float32'));
    expect(e.transpose(x, [0])).toBe(x);
    expect(ops(graph)).toEqual(['Add']);
  });

  test('nodes listed out of order are sorted; a cycle is named', () => {
    const { graph, e, x } = example();
    graph.outputs.push(e.neg(e.exp(e.log(x))));
    const model = parseModel(writeModel(modelFromGraph(graph)));
    model.graph.node.reverse();
    expect(ops(graphFromModel(model))).toEqual(['Log', 'Exp', 'Neg']);
    const last = model.graph.node[0];
    model.graph.node[2].input = [...last.output];
    expect(() => graphFromModel(model)).toThrow("graph 'example' has a cycle through Neg node 'Neg'");
  });

  test('a name that nothing defines is an error that names the node', () => {
    const { graph, e, x } = example();
    graph.outputs.push(e.exp(x));
    const model = parseModel(writeModel(modelFromGraph(graph)));
    model.graph.node[0].input = ['nowhere'];
    expect(() => graphFromModel(model)).toThrow("Exp node 'Exp' reads 'nowhere', which nothing defines");
    model.graph.node[0].input = ['x'];
    model.graph.output[0].name = 'nothing';
    expect(() => graphFromModel(model)).toThrow("nothing computes the graph output 'nothing'");
  });

  test('initializers that are also listed as inputs are constants', () => {
    const { graph, e, x } = example();
    const w = graph.addInitializer('w', Tensor.of('float32', [2], Float32Array.of(1, 2)));
    graph.outputs.push(e.add(x, w));
    const model = parseModel(writeModel(modelFromGraph(graph)));
    model.graph.input.push({ ...model.graph.input[0], name: 'w' });
    const read = graphFromModel(model);
    expect(read.inputs.map(({ name }) => name)).toEqual(['x']);
    expect(read.value('w')?.tensor?.toNumbers()).toEqual([1, 2]);
    read.initializerToInput(read.requireValue('w'));
    expect(read.inputs.map(({ name }) => name)).toEqual(['x', 'w']);
    expect(read.initializers).toEqual([]);
  });

  test('what a subgraph uses is kept, sorted before it and renamed in it', () => {
    const { graph, e, x } = example();
    graph.outputs.push(e.neg(e.exp(x)));
    const model = parseModel(writeModel(modelFromGraph(graph)));
    const body = create(GraphProtoSchema, {
      node: [create(NodeProtoSchema, { opType: 'Identity', input: ['Exp'], output: ['inner'] })],
      output: [{ name: 'inner' }],
    });
    const branch = create(AttributeProtoSchema, {
      name: 'then_branch',
      type: AttributeProto_AttributeType.GRAPH,
      g: body,
    });
    model.graph.node = [
      create(NodeProtoSchema, { opType: 'If', name: 'if', input: ['x'], output: ['chosen'], attribute: [branch] }),
      ...model.graph.node,
    ];
    model.graph.output[0].name = 'chosen';
    const read = graphFromModel(model);
    read.removeDead();
    expect(ops(read)).toEqual(['Exp', 'If']);
    read.rename(read.requireValue('Exp'), 'other');
    const [, written] = modelFromGraph(read).graph?.node ?? [];
    expect(written.attribute[0].g?.node[0].input).toEqual(['other']);
  });

  test('the documentation of a node survives', () => {
    const { graph, e, x } = example();
    graph.outputs.push(e.exp(x));
    const model = parseModel(writeModel(modelFromGraph(graph)));
    model.graph.node[0].docString = 'why';
    expect(modelFromGraph(graphFromModel(model)).graph?.node[0].docString).toBe('why');
  });

  test('an attribute of another type is an error that names the node', () => {
    const { graph, e, x } = example();
    const node = e.exp(x).producer;
    node?.attributes.set('axis', 'one');
    expect(() => node?.attributes.int('axis')).toThrow(
      "Exp node 'Exp': attribute 'axis' is STRING where INT is expected",
    );
    expect(graph.nodes).toHaveLength(1);
  });
});

test('free sizes of inner values are written by name, so that a runtime knows which are equal', () => {
  const graph = new Graph('free');
  const e = emitterOf(graph);
  const x = graph.addInput('x', { dtype: 'float32', shape: [symbol('batch'), 5, 2] });
  const rows = e.exp(e.reshape(x, [-1, 2]));
  const fixed = e.reduceSum(rows, [0]);
  const unknown = e.node('NonZero', [rows]);
  graph.outputs.push(e.neg(fixed), e.node('Shape', [unknown]));
  const written = modelFromGraph(graph).graph?.valueInfo.map(({ name, type }) => {
    const tensor = type?.value.case === 'tensorType' ? type.value.value : undefined;
    return [name, tensor?.shape?.dim.map(({ value }) => String(value.value))];
  });
  const shape = [String(rows.shape?.[0]), '2'];
  expect(shape[0]).toContain('batch');
  expect(written).toEqual([
    [rows.producer?.inputs[0]?.name, shape],
    [rows.name, shape],
  ]);
});
