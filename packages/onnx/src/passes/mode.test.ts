import { float32, runGraph } from '@adakit/onnx-reference';
import { describe, expect, it } from 'vitest';
import type { Emitter } from '../graph/emitter.js';
import { Graph } from '../graph/graph.js';
import type { Value } from '../graph/value.js';
import { emitterOf } from '../inference/emitter-of.js';
import { Tensor } from '../model/tensor.js';
import { setTrainingMode } from './mode.js';

/** A graph of x, [2, 2]. */
function graphOf(body: (e: Emitter, x: Value, graph: Graph) => Value): Graph {
  const graph = new Graph('mode');
  const x = graph.addInput('x', { dtype: 'float32', shape: [2, 2] });
  const output = body(emitterOf(graph), x, graph);
  graph.rename(output, 'y');
  graph.outputs.push(output);
  return graph;
}

const x = float32([2, 2], [1, -2, 3, -4]);
const outputOf = async (graph: Graph) => (await runGraph(graph, { x })).y.data;
const bool = (e: Emitter, value: 0 | 1) => e.constant(Tensor.of('bool', [], Uint8Array.of(value)));
/** Whether a Dropout drops anything, by its third input. */
const drops = (graph: Graph) =>
  graph.nodes.filter(({ op }) => op === 'Dropout').map(({ inputs }) => inputs[2]?.tensor?.toNumbers()[0]);

describe('Dropout', () => {
  const exported = {
    'for training': (e: Emitter, value: Value) => e.node('Dropout', [value, e.scalar(0.5, 'float32'), bool(e, 1)]),
    'for inference': (e: Emitter, value: Value) => e.node('Dropout', [value, e.scalar(0.5, 'float32'), bool(e, 0)]),
    'without saying': (e: Emitter, value: Value) => e.node('Dropout', [value]),
  };
  it.each(Object.entries(exported))('that was exported %s drops in training alone', async (_, dropout) => {
    const graph = graphOf(dropout);
    expect(setTrainingMode(graph, emitterOf(graph), true)).toEqual([]);
    expect(drops(graph)).toEqual([1]);
    setTrainingMode(graph, emitterOf(graph), false);
    expect(drops(graph)).toEqual([0]);
    expect([...(await outputOf(graph))]).toEqual([1, -2, 3, -4]);
  });
});

describe('BatchNormalization', () => {
  const normalizing = () =>
    graphOf((e, value, graph) => {
      const vector = (name: string, ...data: number[]) =>
        graph.addInitializer(name, Tensor.of('float32', [2], Float32Array.from(data)));
      const statistics = [vector('mean', 1, 2), vector('variance', 3, 4)];
      return e.node('BatchNormalization', [value, vector('scale', 1, 1), vector('bias', 0, 0), ...statistics]);
    });
  const uses = (graph: Graph) => graph.nodes[0].attributes.int('training_mode', 0);

  it('changes its running statistics in training', () => {
    const graph = normalizing();
    const changed = setTrainingMode(graph, emitterOf(graph), true);
    expect(changed.map(({ initializer }) => initializer.name)).toEqual(['mean', 'variance']);
    expect(changed.map(({ updated }) => updated.producer)).toEqual([graph.nodes[0], graph.nodes[0]]);
    expect(uses(graph)).toBe(1);
  });

  it('uses them in inference, and in training where it is frozen', () => {
    const graph = normalizing();
    expect(setTrainingMode(graph, emitterOf(graph), false)).toEqual([]);
    expect(uses(graph)).toBe(0);
    expect(setTrainingMode(graph, emitterOf(graph), true, new Set(graph.nodes))).toEqual([]);
    expect(uses(graph)).toBe(0);
  });
});
