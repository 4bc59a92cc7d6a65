import { float32, randomNumbers, runGraph } from '@adakit/onnx-reference';
import { describe, expect, test } from 'vitest';
import { Graph } from '../graph/graph.js';
import { emitterOf } from '../inference/emitter-of.js';
import { operators } from '../operators/index.js';
import { lowerNodes } from '../passes/lower.js';
import { multiplyDims, symbol } from '../shape/dim.js';
import type { Target } from './target.js';
import { targets } from './targets.js';

/** The states of a recurrence of so many steps, for a batch of any size, lowered for a target. */
function recurrence(target: Target, time: number, reverse: boolean): Graph {
  const graph = new Graph('recurrence');
  const e = emitterOf(graph);
  const batch = symbol('batch');
  const rows = [multiplyDims(time, batch), 3];
  const [k, a] = ['k', 'a'].map((name) => graph.addInput(name, { dtype: 'float32', shape: rows }));
  const first = graph.addInput('first', { dtype: 'float32', shape: [batch, 3] });
  graph.outputs.push(...e.nodes('adakit::LinearRecurrence', [k, a, first], { time, reverse: Number(reverse) }, 2));
  lowerNodes(graph, operators, target);
  graph.removeDead();
  return graph;
}

const isScan = ({ nodes }: Graph) => nodes.some(({ op }) => op === 'Scan');

describe.each([
  { order: 'in the order of time', reverse: false },
  { order: 'from the end', reverse: true },
])('c[t] = k[t] ⊙ c[t − 1] + a[t], $order', ({ reverse }) => {
  test.each([1, 2, 8, 11])('%i steps have the states of their definition, to the bit', async (time) => {
    const [batch, length] = [2, 3];
    const numbers = (count: number, seed: number) => Float32Array.from(randomNumbers(count, seed));
    const [k, a, first] = [numbers(time * 6, 1), numbers(time * 6, 2), numbers(6, 3)];
    const before = new Float32Array(time * 6);
    const after = new Float32Array(time * 6);
    let state: Float32Array = first;
    for (let step = 0; step < time; step++) {
      const at = 6 * (reverse ? time - 1 - step : step);
      before.set(state, at);
      state = state.map((c, i) => Math.fround(k[at + i] * c) + a[at + i]);
      after.set(state, at);
    }
    const feeds = {
      k: float32([time * batch, length], [...k]),
      a: float32([time * batch, length], [...a]),
      first: float32([batch, length], [...first]),
    };
    for (const target of Object.values(targets)) {
      const graph = recurrence(target, time, reverse);
      const results = await runGraph(graph, feeds);
      const found = graph.outputs.map(({ name }) => [...results[name].data]);
      expect({ target: target.name, found }).toEqual({ target: target.name, found: [[...before], [...after]] });
    }
  });

  test('many steps are a Scan on the CPU, where it costs less than nodes', () => {
    expect(isScan(recurrence(targets['ort-cpu'], 35, reverse))).toBe(true);
    expect(isScan(recurrence(targets['ort-cpu'], 7, reverse))).toBe(false);
    for (const name of ['ort-cuda', 'ort-webgpu', 'portable'] as const) {
      expect(isScan(recurrence(targets[name], 35, reverse))).toBe(false);
    }
  });
});
