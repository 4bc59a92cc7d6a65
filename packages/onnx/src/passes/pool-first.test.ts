import { float32, runGraph } from '@adakit/onnx-reference';
import { describe, expect, test } from 'vitest';
import { differentiate } from '../gradient/differentiate.js';
import type { Emitter } from '../graph/emitter.js';
import { Graph } from '../graph/graph.js';
import type { Value } from '../graph/value.js';
import { emitterOf } from '../inference/emitter-of.js';
import { operators } from '../operators/index.js';
import { lowerNodes } from './lower.js';
import { poolFirst } from './pool-first.js';

const WINDOWS = { kernel_shape: [2, 2], strides: [2, 2] };

/** Σ y² for y = MaxPool(Relu(x)), and what computes it from x. */
function rectifiedMaxima(attributes = WINDOWS, more: (e: Emitter, relu: Value) => readonly Value[] = () => []) {
  const graph = new Graph('pooled');
  const e = emitterOf(graph);
  const x = graph.addInput('x', { dtype: 'float32', shape: [1, 1, 4, 6] });
  const relu = e.node('Relu', [x]);
  const loss = e.reduceSum(e.square(e.node('MaxPool', [relu], attributes)));
  graph.outputs.push(loss, ...more(e, relu));
  return { graph, x, loss };
}

const order = ({ nodes }: Graph) => nodes.flatMap(({ op }) => (op === 'Relu' || op === 'MaxPool' ? [op] : []));

describe('Relu after MaxPool', () => {
  test('has the losses and gradients of Relu before it, where elements are equal, 0 or negative, too', async () => {
    // Windows: one maximum; equal maxima; zeros and less; all negative, with and without equal ones; a zero alone.
    const rows = [
      [1, 2, 3, 3, 0, -1],
      [0, -2, 3, 3, -1, 0],
      [-1, -2, -3, -3, 0, -5],
      [-4, -1, -3, -3, -5, -5],
    ];
    const results = async (isExchanged: boolean) => {
      const { graph, x, loss } = rectifiedMaxima();
      if (isExchanged) poolFirst(graph);
      const gradient = differentiate(graph, loss, [x], operators).get(x) ?? expect.fail('no gradient');
      graph.outputs.push(gradient);
      lowerNodes(graph, operators);
      graph.removeDead();
      const found = await runGraph(graph, { x: float32([1, 1, 4, 6], rows.flat()) });
      return [found[loss.name].data, found[gradient.name].data];
    };
    expect(await results(true)).toEqual(await results(false));
  });

  test('comes in the place of Relu before it', () => {
    const { graph } = rectifiedMaxima();
    expect(order(graph)).toEqual(['Relu', 'MaxPool']);
    poolFirst(graph);
    expect(order(graph)).toEqual(['MaxPool', 'Relu']);
  });

  test.each([
    ['is used elsewhere', rectifiedMaxima(WINDOWS, (e, relu) => [e.neg(relu)])],
    ['is an output', rectifiedMaxima(WINDOWS, (_, relu) => [relu])],
    ['is pooled with gaps, which may miss all elements', rectifiedMaxima({ ...WINDOWS, ...{ dilations: [2, 2] } })],
  ])('does not where what is rectified %s', (_, { graph }) => {
    poolFirst(graph);
    expect(order(graph)).toEqual(['Relu', 'MaxPool']);
  });
});
