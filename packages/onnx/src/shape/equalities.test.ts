import { describe, expect, test } from 'vitest';
import { emitterOf } from '../inference/emitter-of.js';
import { Graph } from '../graph/graph.js';
import { multiplyDims, symbol, unknown } from './dim.js';
import { Equalities } from './equalities.js';
import { printShape } from './shape.js';

const [n, m, k] = [symbol('n'), symbol('m'), symbol('k')];

describe('dimensions that a graph forces to be equal', () => {
  test('have one name, whichever was learnt first', () => {
    const equalities = new Equalities();
    equalities.add(m, k);
    equalities.add(n, m);
    expect(equalities.resolve(multiplyDims(2, k))).toBe(multiplyDims(2, n));
    expect(equalities.resolveAll([m, 4, k])).toEqual([n, 4, n]);
  });

  test('are not bound to what depends on themselves', () => {
    const equalities = new Equalities();
    const open = unknown(0, 1);
    equalities.add(open, n);
    equalities.add(n, multiplyDims(2, open));
    expect(equalities.resolve(open)).toBe(n);
  });

  test.each([
    ['Concat', (e, x, y) => e.concat([x, y], 1), '[n, 8]'],
    ['Gemm', (e, x, y) => e.node('Gemm', [x, y], { transA: 1 }), '[4, 4]'],
    ['MatMul', (e, x, y) => e.matMul(e.transpose(x, [1, 0]), y), '[4, 4]'],
    [
      'Reshape',
      (e, x, y) => e.reshape(x, e.concat([e.node('Shape', [y], { end: 1 }), e.int64([2, 2])], 0)),
      '[n, 2, 2]',
    ],
  ] satisfies readonly [
    string,
    (e: ReturnType<typeof emitterOf>, ...xs: ReturnType<Graph['addInput']>[]) => unknown,
    string,
  ][])('%s: the batches of two inputs are one', (_, use, expected) => {
    const graph = new Graph('test');
    const e = emitterOf(graph);
    const x = graph.addInput('x', { dtype: 'float32', shape: [n, 4] });
    const y = graph.addInput('y', { dtype: 'float32', shape: [m, 4] });
    const before = e.add(x, y);
    expect(printShape(before.shape)).toBe('[broadcast(m, n), 4]');
    expect(printShape(use(e, x, y).shape)).toBe(expected);
    expect(printShape(y.shape)).toBe('[n, 4]');
    expect(printShape(before.shape)).toBe('[n, 4]');
  });

  test('GRU: the batch of its first state is that of the sequence', () => {
    const graph = new Graph('test');
    const e = emitterOf(graph);
    const input = (name: string, shape: Parameters<typeof printShape>[0]) =>
      graph.addInput(name, { dtype: 'float32', shape });
    const [x, h] = [input('x', [5, n, 3]), input('h', [1, m, 2])];
    const [w, r] = [input('w', [1, 6, 3]), input('r', [1, 6, 2])];
    const [all] = e.nodes('GRU', [x, w, r, undefined, undefined, h], { hidden_size: 2 }, 2);
    expect(printShape(all.shape)).toBe('[5, 1, n, 2]');
    expect(printShape(h.shape)).toBe('[1, n, 2]');
  });

  test('what only the branch of an If needs is not forced', () => {
    const graph = new Graph('test');
    const e = emitterOf(graph);
    const x = graph.addInput('x', { dtype: 'float32', shape: [n, 4] });
    const y = graph.addInput('y', { dtype: 'float32', shape: [m, 4] });
    e.inside('branch').concat([x, y], 1);
    expect(printShape(y.shape)).toBe('[m, 4]');
  });
});
