import { float32, runGraph } from '@adakit/onnx-reference';
import { expect, test } from 'vitest';
import { composite, likeInput } from '../entry/composite.js';
import { operatorTable, type Definition } from '../entry/operator.js';
import { Graph } from '../graph/graph.js';
import { emitterOf } from '../inference/emitter-of.js';
import { operators } from '../operators/index.js';
import { lowerNodes } from './lower.js';

/** Operators of another domain, which a program adds to the table. */
const added = (op: string, define: Definition) => composite({ op, domain: 'own', since: 1, infer: likeInput, define });

const table = operatorTable([
  ...operators.values(),
  added('Outer', ({ e, input }) => {
    const inner = e.node('own::Inner', [input(0)]);
    return [e.add(inner, e.exp(input(0)))];
  }),
  added('Inner', ({ e, input }) => [e.neg(e.exp(input(0)))]),
  added('Same', ({ input }) => [input(0)]),
  {
    ...added('Both', ({ e, input }) => [e.exp(input(0)), e.exp(input(0))]),
    infer: (ctx) => [...likeInput(ctx), ...likeInput(ctx)],
  },
]);

function outer() {
  const graph = new Graph('test');
  const e = emitterOf(graph, table);
  const x = graph.addInput('x', { dtype: 'float32', shape: [2] });
  const y = e.named('layer', () => e.node('own::Outer', [x]));
  graph.outputs.push(e.node('Cos', [y]));
  return graph;
}

test('what a definition is written in is lowered too, and what two of them share comes before both', async () => {
  const graph = outer();
  lowerNodes(graph, table);
  expect(graph.nodes.filter(({ domain }) => domain !== '')).toEqual([]);
  // −eˣ + eˣ = 0 exactly.
  const results = await runGraph(graph, { x: float32([2], [1, -3]) });
  expect(Object.values(results)[0].data).toEqual([1, 1]);
});

test('values keep their names, and those of gradients do where they are outputs', () => {
  const graph = outer();
  lowerNodes(graph, table);
  expect(graph.requireValue('layer/Outer').producer?.op).toBe('Add');

  const masked = new Graph('test');
  const e = emitterOf(masked);
  const x = masked.addInput('x', { dtype: 'float32', shape: [2] });
  const inner = e.mask(e.greater(x, e.scalar(0, x)), x);
  const output = e.mask(e.less(x, e.scalar(1, x)), inner);
  masked.outputs.push(output);
  lowerNodes(masked);
  expect(masked.outputs).toEqual([output]);
  expect(masked.nodes.map(({ op }) => op)).toEqual(['Greater', 'Where', 'Less', 'Where']);
});

test('an output that stands for an input, or for another output, is a copy of it', async () => {
  const graph = new Graph('test');
  const e = emitterOf(graph, table);
  const x = graph.addInput('x', { dtype: 'float32', shape: [2] });
  const same = e.node('own::Same', [x]);
  const [first, second] = e.nodes('own::Both', [x], {}, 2);
  graph.outputs.push(same, first, second);
  lowerNodes(graph, table);
  expect(graph.outputs.map(({ producer }) => producer?.op)).toEqual(['Identity', 'Exp', 'Identity']);
  const results = await runGraph(graph, { x: float32([2], [0, 0]) });
  expect(graph.outputs.map(({ name }) => results[name].data)).toEqual([
    [0, 0],
    [1, 1],
    [1, 1],
  ]);
});
