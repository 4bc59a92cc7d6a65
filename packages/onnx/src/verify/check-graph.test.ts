import { describe, expect, test } from 'vitest';
import { operatorTable } from '../entry/operator.js';
import { OnnxError } from '../error.js';
import { Graph } from '../graph/graph.js';
import { modelFromGraph } from '../graph/to-model.js';
import { Node } from '../graph/node.js';
import type { Value } from '../graph/value.js';
import { emitterOf } from '../inference/emitter-of.js';
import { parseModel, writeModel } from '../model/model.js';
import { operators } from '../operators/index.js';
import { importGraph } from '../passes/import.js';
import { lowerNodes } from '../passes/lower.js';
import { checkGraph, graphProblems } from './check-graph.js';

/** y = e^x + (e^x)², and an If that uses what is around it. */
function example() {
  const graph = new Graph('example');
  const e = emitterOf(graph);
  const x = graph.addInput('x', { dtype: 'float32', shape: [2] });
  const exponential = e.exp(x);
  const square = e.square(exponential);
  const branch = (name: string) => {
    const inner = e.inside(name);
    inner.graph.outputs.push(inner.neg(square));
    return inner.graph;
  };
  const condition = graph.addInput('condition', { dtype: 'bool', shape: [] });
  const bodies = { then_branch: branch('then'), else_branch: branch('else') };
  const [chosen] = e.control('If', [condition], bodies, {}, 1);
  const y = e.add(chosen, square);
  graph.outputs.push(y);
  return { graph, e, x, exponential, square, y, bodies };
}

test('a graph that the emitter has written is sound', () => {
  expect(graphProblems(example().graph, operators)).toEqual([]);
});

test('what is not understood is taken from the file, and its bodies with it', () => {
  const { graph, bodies, y } = example();
  const inside = bodies.then_branch.outputs[0];
  inside.shape = undefined;
  expect(graphProblems(graph, operators)).not.toEqual([]);
  const conditional = graph.nodes.find(({ op }) => op === 'If');
  Object.assign(conditional ?? {}, { obstacle: { error: new OnnxError('unsupported-operator', 'no If'), runs: true } });
  expect(graphProblems(graph, operators)).toEqual([]);
  y.shape = [3];
  expect(graphProblems(graph, operators)).toHaveLength(1);
});

describe('violations are found, and say what they are about', () => {
  const cases: [string, (made: ReturnType<typeof example>) => void, string][] = [
    ['a use ahead of its definition', ({ graph }) => graph.nodes.reverse(), 'which is not computed before it'],
    [
      'two nodes that compute one value',
      ({ graph, x, square }) => graph.addNode(new Node({ name: 'again', op: 'Neg', inputs: [x], outputs: [square] })),
      "Neg node 'again' defines 'Mul', which is defined already",
    ],
    ['a value whose producer is another node', ({ square }) => (square.producer = undefined), 'names another producer'],
    [
      'a value of no graph',
      ({ graph, x }) => {
        const value = new Graph('other').addValue('stray');
        graph.addNode(new Node({ name: 'n', op: 'Neg', inputs: [x], outputs: [Object.assign(value, known)] }));
      },
      "'stray' of Neg node 'n' is not in its graph under that name",
    ],
    ['an input listed twice', ({ graph, x }) => graph.inputs.push(x), "graph 'example' lists an input twice"],
    ['another dtype', ({ square }) => (square.dtype = 'float64'), "'Mul' is float64; Mul node 'Mul' computes float32"],
    ['another shape', ({ square }) => (square.shape = [3]), "'Mul' has shape [3]; Mul node 'Mul' computes [2]"],
    ['no shape', ({ square }) => (square.shape = undefined), "'Mul' has shape of unknown rank"],
    [
      'known elements that do not fill the shape',
      ({ e }) => (e.int64([1, 2]).contents = [1]),
      'of shape [2] has 1 known elements',
    ],
    [
      'known elements that are others',
      ({ e }) => {
        const sum = e.add(e.int64([1, 2]), e.int64([3, 4]));
        sum.contents = [4, 7];
      },
      'the known elements of',
    ],
    [
      'an operator without an entry',
      ({ graph, x }) => {
        const output = graph.addValue('unknown', known);
        graph.addNode(new Node({ name: 'n', op: 'Unheard', inputs: [x], outputs: [output] }));
      },
      "Unheard node 'n' is of an operator that the table does not have",
    ],
    [
      'a body that captures what comes later',
      ({ y, bodies }) => (bodies.then_branch.outputs[0].producer as Node).inputs.splice(0, 1, y),
      "uses 'Add', which is not computed before it",
    ],
    [
      'a body that lies in another graph',
      ({ graph }) => {
        const node = graph.nodes.find(({ op }) => op === 'If') ?? expect.fail('no If');
        const alone = new Graph('alone');
        alone.outputs.push(alone.addInput('inside', known));
        node.bodies.set('then_branch', alone);
      },
      "the then_branch of If node 'If' does not lie in the graph of the node",
    ],
    [
      'an output that nothing computes',
      ({ graph }) => graph.outputs.push(graph.addValue('nothing', known)),
      "the output 'nothing' of graph 'example' is not computed",
    ],
    [
      'more outputs than the operator has',
      ({ graph, exponential }) => {
        const extra: Value = graph.addValue('extra', known);
        exponential.producer?.outputs.push(extra);
        extra.producer = exponential.producer;
      },
      "Exp node 'Exp' has 2 outputs; its rule knows 1",
    ],
  ];
  const known = { dtype: 'float32' as const, shape: [2] };

  test.each(cases)('%s', (_, violate, message) => {
    const made = example();
    violate(made);
    expect(graphProblems(made.graph, operators).join('\n')).toContain(message);
    expect(() => {
      checkGraph(made.graph, operators);
    }).toThrow("graph 'example' is not sound");
  });
});

describe('the passes check what they leave, in these tests', () => {
  /** A table whose Relu claims to be written as something of another shape. */
  const broken = operatorTable([
    ...operators.values(),
    {
      op: 'Relu',
      since: 14,
      infer: (ctx) => [{ dtype: ctx.dtype(0), shape: ctx.shape(0) }],
      gradient: 'none',
      beyondOpset: () => true,
      define: ({ e, input }) => [e.exp(e.assume(e.neg(input(0)), [7]))],
    },
  ]);
  const relu = () => {
    const graph = new Graph('test');
    const x = graph.addInput('x', { dtype: 'float32', shape: [2] });
    graph.outputs.push(emitterOf(graph).node('Relu', [x]));
    return graph;
  };

  test('decompose', () => {
    const model = parseModel(writeModel(modelFromGraph(relu())));
    expect(() => importGraph(model, broken)).toThrow(
      /after the pass 'decompose'.*has shape \[7\]; Neg node .* computes \[2\]/s,
    );
  });

  test('lower', () => {
    expect(() => {
      lowerNodes(relu(), broken);
    }).toThrow("after the pass 'lower'");
  });
});
