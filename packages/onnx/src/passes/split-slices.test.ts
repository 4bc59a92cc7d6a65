import { float32, runGraph } from '@adakit/onnx-reference';
import { describe, expect, test } from 'vitest';
import { differentiate } from '../gradient/differentiate.js';
import type { Emitter } from '../graph/emitter.js';
import { Graph } from '../graph/graph.js';
import type { Value } from '../graph/value.js';
import { emitterOf } from '../inference/emitter-of.js';
import { operators } from '../operators/index.js';
import { symbol } from '../shape/dim.js';
import { lowerNodes } from './lower.js';
import { splitSlices } from './split-slices.js';

/** A graph of pieces of x [batch, 6], which are cut out of it. */
function cutting(write: (e: Emitter, x: Value) => readonly Value[]) {
  const graph = new Graph('cut');
  const e = emitterOf(graph);
  const x = graph.addInput('x', { dtype: 'float32', shape: [symbol('batch'), 6] });
  graph.outputs.push(...write(e, x));
  return { graph, e, x };
}

const cut = (e: Emitter, x: Value, start: number, end: number, axis = 1) =>
  e.slice(x, { starts: [start], ends: [end], axes: [axis] });

const ops = ({ nodes }: Graph) => nodes.map(({ op }) => op);

describe('slices that take a value apart', () => {
  /** The gates of an LSTM as PyTorch exports them: the last piece second. */
  const turned = (e: Emitter, x: Value) => [cut(e, x, 0, 1), cut(e, x, -2, 6), cut(e, x, 1, -2)];

  test('are one Split, in the order of the value', () => {
    const { graph, x } = cutting(turned);
    splitSlices(graph);
    expect(ops(graph)).toEqual(['Split']);
    const [{ inputs, outputs }] = graph.nodes;
    expect(inputs[0]).toBe(x);
    expect(inputs[1]?.contents).toEqual([1, 3, 2]);
    expect(outputs.map((output) => output?.name)).toEqual(['Slice', 'Slice_2', 'Slice_1']);
  });

  test('have the results and gradients that they had, without zeros to add', async () => {
    const results = async (isSplit: boolean) => {
      const { graph, e, x } = cutting(turned);
      if (isSplit) splitSlices(graph);
      const [a, b, c] = graph.outputs;
      const loss = [e.mul(a, a), e.mul(b, e.mul(b, b)), e.mul(c, c)]
        .map((part) => e.reduceSum(part))
        .reduce((sum, part) => e.add(sum, part));
      graph.outputs.push(...differentiate(graph, loss, [x], operators).values());
      lowerNodes(graph, operators);
      graph.removeDead();
      const found = await runGraph(graph, { x: float32([2, 6], [1, 2, 3, 4, 5, 6, -1, -2, -3, -4, -5, -6]) });
      return { data: graph.outputs.map(({ name }) => found[name].data), ops: ops(graph) };
    };
    const [before, after] = [await results(false), await results(true)];
    expect(after.data).toEqual(before.data);
    expect(before.ops).toContain('Pad');
    expect(after.ops).not.toContain('Pad');
    expect(after.ops).toContain('Concat');
  });

  test.each([
    ['that leave some out', (e: Emitter, x: Value) => [cut(e, x, 0, 2), cut(e, x, 3, 6)]],
    ['that overlap', (e: Emitter, x: Value) => [cut(e, x, 0, 4), cut(e, x, 3, 6)]],
    ['that end before the end', (e: Emitter, x: Value) => [cut(e, x, 0, 2), cut(e, x, 2, 5)]],
    ['of which there is one', (e: Emitter, x: Value) => [cut(e, x, 0, 6)]],
    [
      'of which there are many',
      (e: Emitter, x: Value) => {
        const wide = e.concat([x, x], 1);
        return [0, 1, 2, 3, 4, 5, 6, 7].map((i) => cut(e, wide, i, i === 7 ? 12 : i + 1));
      },
    ],
    ['along an axis of any length', (e: Emitter, x: Value) => [cut(e, x, 0, 1, 0), cut(e, x, 1, 9, 0)]],
    [
      'in other steps',
      (e: Emitter, x: Value) => [
        e.slice(x, { starts: [0], ends: [6], axes: [1], steps: [2] }),
        e.slice(x, { starts: [3], ends: [6], axes: [1] }),
      ],
    ],
    [
      'along two axes',
      (e: Emitter, x: Value) => [
        e.slice(x, { starts: [0, 0], ends: [1, 3], axes: [0, 1] }),
        e.slice(x, { starts: [0, 3], ends: [1, 6], axes: [0, 1] }),
      ],
    ],
  ])('stay as they are: those %s', (_, write) => {
    const { graph } = cutting(write);
    const before = ops(graph);
    splitSlices(graph);
    expect(ops(graph)).toEqual(before);
  });
});
