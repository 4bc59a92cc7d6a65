import { float32, Session } from '@adakit/onnx-reference';
import { describe, expect, it } from 'vitest';
import { Graph } from '../graph/graph.js';
import { modelFromGraph } from '../graph/to-model.js';
import type { Value } from '../graph/value.js';
import { emitterOf } from '../inference/emitter-of.js';
import { writeModel } from '../model/model.js';
import { symbol } from '../shape/dim.js';
import { countAtRunTime } from './count.js';

/** A graph of inputs [batch, 3, 4, 5] and [more, 3, 4, 5], that gives how many elements values of them have by channel. */
function counting(values: (x: Value, y: Value, e: ReturnType<typeof emitterOf>) => readonly Value[]) {
  const graph = new Graph('counts');
  const e = emitterOf(graph);
  const x = graph.addInput('x', { dtype: 'float32', shape: [symbol('batch'), 3, 4, 5] });
  const y = graph.addInput('y', { dtype: 'float32', shape: [symbol('more'), 3, 4, 5] });
  for (const value of values(x, y, e)) {
    const channels = e.reduceSum(value, [0, 2, 3]);
    graph.outputs.push(countAtRunTime({ e, shape: ({ shape = [] }) => shape }, value, channels));
  }
  graph.removeDead();
  return graph;
}

describe('the number of elements for each channel', () => {
  it('is computed once for all values that have as many', () => {
    const graph = counting((x, _, e) => [x, e.neg(x), e.square(x)]);
    expect(graph.nodes.map(({ op }) => op)).toEqual(['Shape', 'Squeeze', 'Mul', 'Cast']);
    expect(new Set(graph.outputs).size).toBe(1);
  });

  it('is that of the value, whatever the batch', async () => {
    const graph = counting((x, y, e) => [
      x,
      e.slice(x, { starts: [1], ends: [3], axes: [3] }),
      y,
      // Of so many samples no input is.
      e.concat([x, y], 0),
    ]);
    const session = await Session.fromBytes(writeModel(modelFromGraph(graph)));
    const ones = (samples: number) => float32([samples, 3, 4, 5], new Array<number>(60 * samples).fill(1));
    const results = await session.run({ x: ones(3), y: ones(2) });
    await session.release();
    expect(graph.outputs.map(({ name }) => results[name].data)).toEqual([[60], [24], [40], [100]]);
  });
});
