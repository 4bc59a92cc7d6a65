import { float32, runGraph } from '@adakit/onnx-reference';
import { describe, expect, test } from 'vitest';
import { differentiate } from '../gradient/differentiate.js';
import type { Emitter } from '../graph/emitter.js';
import { Graph } from '../graph/graph.js';
import type { Value } from '../graph/value.js';
import { emitterOf } from '../inference/emitter-of.js';
import { operators } from '../operators/index.js';
import { lowerNodes } from './lower.js';
import { nestConcats } from './nest-concats.js';

/** A graph of concatenations along the last axis of four inputs [2, i + 1]. */
function joining(write: (e: Emitter, inputs: readonly Value[]) => readonly Value[]) {
  const graph = new Graph('joined');
  const e = emitterOf(graph);
  const inputs = [0, 1, 2, 3].map((i) => graph.addInput(`x${i}`, { dtype: 'float32', shape: [2, i + 1] }));
  graph.outputs.push(...write(e, inputs));
  return { graph, e, inputs };
}

const joins = ({ nodes }: Graph) =>
  nodes.filter(({ op }) => op === 'Concat').map(({ inputs }) => inputs.map((input) => input?.name));

describe('concatenations of the same values and more', () => {
  const dense = (e: Emitter, x: readonly Value[]) => [2, 3, 4].map((count) => e.concat(x.slice(0, count), 1));

  test('take what has been joined as it is', () => {
    const { graph } = joining(dense);
    nestConcats(graph);
    expect(joins(graph)).toEqual([
      ['x0', 'x1'],
      ['Concat', 'x2'],
      ['Concat_1', 'x3'],
    ]);
  });

  test('have the results and gradients that they had, with fewer sums', async () => {
    const results = async (isNested: boolean) => {
      const { graph, e, inputs } = joining(dense);
      if (isNested) nestConcats(graph);
      const loss = graph.outputs.map((y) => e.reduceSum(e.square(e.square(y)))).reduce((a, b) => e.add(a, b));
      const gradients = differentiate(graph, loss, inputs, operators);
      graph.outputs.push(...gradients.values());
      lowerNodes(graph, operators);
      graph.removeDead();
      const feeds = Object.fromEntries(
        inputs.map(({ name }, i) => [
          name,
          float32(
            [2, i + 1],
            Array.from({ length: 2 * (i + 1) }, (_, j) => i - j),
          ),
        ]),
      );
      const found = await runGraph(graph, feeds);
      const sums = graph.nodes.filter(({ op }) => op === 'Add').length;
      return { data: graph.outputs.map(({ name }) => found[name].data), sums };
    };
    const [before, after] = [await results(false), await results(true)];
    // Of small integers, so that sums are exact in any order.
    expect(after.data).toEqual(before.data);
    // Two of x0, two of x1 and one of x2 were, where now there is one of each of the shorter joins.
    expect(before.sums - after.sums).toBe(3);
  });

  test.each([
    ['along other axes', (e: Emitter, [x]: readonly Value[]) => [e.concat([x, x], 0), e.concat([x, x, x], 1)]],
    ['that only end alike', (e: Emitter, [a, b, c]: readonly Value[]) => [e.concat([b, c], 1), e.concat([a, b, c], 1)]],
    [
      'the shorter of which comes later',
      (e: Emitter, x: readonly Value[]) => [e.concat(x, 1), e.concat(x.slice(0, 2), 1)],
    ],
  ])('stay as they are %s', (_, write) => {
    const { graph } = joining(write);
    const before = joins(graph);
    nestConcats(graph);
    expect(joins(graph)).toEqual(before);
  });
});
