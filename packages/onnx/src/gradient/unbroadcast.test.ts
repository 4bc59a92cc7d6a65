import { float64, randomNumbers, relativeError, runGraph } from '@adakit/onnx-reference';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { emitterOf } from '../inference/emitter-of.js';
import { Graph } from '../graph/graph.js';
import { operators } from '../operators/index.js';
import { symbol, type Dim } from '../shape/dim.js';
import { differentiate } from './differentiate.js';

/** One axis of the result: its length, and for both factors whether it is there, stretched, and free. */
const axis = fc.record({
  length: fc.integer({ min: 1, max: 4 }),
  stretched: fc.constantFrom('neither', 'a', 'b'),
  free: fc.constantFrom('none', 'a', 'b', 'both', 'same'),
});

const product = (dims: readonly number[]) => dims.reduce((a, b) => a * b, 1);

/** Calls `visit` with the flat index into the result and into a factor of shape `dims` that is broadcast to it. */
function forEachBroadcast(
  result: readonly number[],
  dims: readonly number[],
  visit: (to: number, from: number) => void,
) {
  const offset = result.length - dims.length;
  for (let to = 0; to < product(result); to++) {
    let [rest, from, stride] = [to, 0, 1];
    for (let i = result.length - 1; i >= 0; i--) {
      const index = rest % result[i];
      rest = (rest - index) / result[i];
      if (i < offset) continue;
      if (dims[i - offset] !== 1) from += index * stride;
      stride *= dims[i - offset];
    }
    visit(to, from);
  }
}

test('the gradient of a product sums over exactly the broadcast axes, whatever ranks and free dimensions', async () => {
  const shapes = fc.tuple(fc.array(axis, { maxLength: 5 }), fc.nat(5), fc.nat(5), fc.boolean());
  await fc.assert(
    fc.asyncProperty(shapes, async ([axes, dropA, dropB, dropFromA]) => {
      // Leading axes are missing in one factor at most.
      const [startA, startB] = dropFromA ? [Math.min(dropA, axes.length), 0] : [0, Math.min(dropB, axes.length)];
      const side = (name: 'a' | 'b', start: number) => {
        const present = axes.slice(start).map((each, i) => ({ ...each, i: i + start }));
        const dims = present.map(({ length, stretched }) => (stretched === name ? 1 : length));
        const shape = present.map(({ free, stretched, i }, at): Dim => {
          if (free === 'same' && stretched === 'neither') return symbol(`both${i}`);
          return free === name || free === 'both' || free === 'same' ? symbol(`${name}${i}`) : dims[at];
        });
        return { dims, shape };
      };
      const [a, b] = [side('a', startA), side('b', startB)];
      const result = axes.map(({ length, stretched }, i) => {
        const missing = (stretched === 'a' && i < startB) || (stretched === 'b' && i < startA);
        return missing ? 1 : length;
      });

      const graph = new Graph('test');
      const e = emitterOf(graph);
      const inputs = [
        graph.addInput('a', { dtype: 'float64', shape: a.shape }),
        graph.addInput('b', { dtype: 'float64', shape: b.shape }),
      ];
      const y = e.mul(inputs[0], inputs[1]);
      const weight = graph.addInput('weight', { dtype: 'float64', shape: y.shape });
      const gradients = differentiate(graph, e.reduceSum(e.mul(y, weight)), inputs, operators);
      graph.outputs.push(...gradients.values());
      graph.removeDead();

      const [dataA, dataB, dataW] = [a.dims, b.dims, result].map((dims, i) => randomNumbers(product(dims), i + 1));
      const results = await runGraph(graph, {
        a: float64(a.dims, dataA),
        b: float64(b.dims, dataB),
        weight: float64(result, dataW),
      });
      const expected = [new Array<number>(dataA.length).fill(0), new Array<number>(dataB.length).fill(0)];
      const fromA: number[] = [];
      const fromB: number[] = [];
      forEachBroadcast(result, a.dims, (to, from) => (fromA[to] = from));
      forEachBroadcast(result, b.dims, (to, from) => (fromB[to] = from));
      const sizes = expected.map((sums) => sums.map(() => 0));
      const add = (i: number, at: number, term: number) => {
        expected[i][at] += term;
        sizes[i][at] += Math.abs(term);
      };
      dataW.forEach((w, to) => {
        add(0, fromA[to], w * dataB[fromB[to]]);
        add(1, fromB[to], w * dataA[fromA[to]]);
      });
      for (const [i, input] of inputs.entries()) {
        const actual = results[gradients.get(input)?.name ?? ''];
        expect(actual.dims).toEqual([a, b][i].dims);
        // The same products, added in another order: each way rounds a sum of n terms by at most n·ε/2 of their sizes.
        const bound = dataW.length * Number.EPSILON;
        expect(relativeError(actual.data, expected[i], Math.max(...sizes[i]))).toBeLessThanOrEqual(bound);
      }
    }),
    { numRuns: 120 },
  );
});

test.each([{ dims: [3] }, { dims: [1, 1, 3] }])('of a bias of features, $dims, places are summed first', ({ dims }) => {
  const graph = new Graph('test');
  const e = emitterOf(graph);
  const x = graph.addInput('x', { dtype: 'float32', shape: [symbol('batch'), 5, 3] });
  const bias = graph.addInput('bias', { dtype: 'float32', shape: dims });
  const gradients = differentiate(graph, e.reduceSum(e.square(e.add(x, bias))), [bias], operators);
  graph.outputs.splice(0, graph.outputs.length, ...gradients.values());
  graph.removeDead();
  const sums = graph.nodes.filter(({ op }) => op === 'ReduceSum').map(({ inputs }) => inputs[1]?.contents);
  expect(sums).toEqual([[1], [0]]);
});
