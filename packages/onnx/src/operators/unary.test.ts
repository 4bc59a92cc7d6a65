import { float32, randomNumbers, relativeError, runGraph, unaryCases } from '@adakit/onnx-reference';
import { describe, expect, test } from 'vitest';
import { emitterOf } from '../inference/emitter-of.js';
import { differentiate } from '../gradient/differentiate.js';
import { Graph } from '../graph/graph.js';
import { symbol } from '../shape/dim.js';
import { operators } from './index.js';

describe('elementwise operators, against their definition in double precision', () => {
  const named = unaryCases.map(
    (example) => [`${example.op} ${JSON.stringify(example.attributes ?? {})}`, example] as const,
  );

  test.each(named)('%s', async (_, { op, f, attributes, domain = (x: number) => x }) => {
    const graph = new Graph('test');
    const e = emitterOf(graph);
    const x = graph.addInput('x', { dtype: 'float32', shape: [symbol('n')] });
    const y = e.node(op, [x], attributes);
    const dx = differentiate(graph, e.reduceSum(y), [x], operators).get(x) ?? expect.fail('no gradient');
    graph.outputs.push(y, dx);
    graph.removeDead();
    const numbers = randomNumbers(40, 5).map((number) => Math.fround(domain(number)));
    const results = await runGraph(graph, { x: float32([40], numbers) });
    // ONNX Runtime approximates these to a few units in the last place of float32 (6e-8).
    expect(relativeError(results[y.name].data, numbers.map(f))).toBeLessThan(1e-6);
    // The step gives a truncation error of 1e-9 and a rounding error of 1e-11.
    const step = 1e-5;
    const slopes = numbers.map((number) => (f(number + step) - f(number - step)) / (2 * step));
    expect(relativeError(results[dx.name].data, slopes)).toBeLessThan(1e-6);
  });
});
