import { dataFile } from '@adakit/fixtures';
import { float32, randomNumbers, relativeError, runGraph, Session } from '@adakit/onnx-reference';
import { describe, expect, test } from 'vitest';
import { emitterOf } from '../inference/emitter-of.js';
import { graphFromModel } from '../graph/from-model.js';
import { Graph } from '../graph/graph.js';
import { importGraph } from './import.js';
import { readModel } from '../model/model.js';
import { Tensor } from '../model/tensor.js';
import { symbol } from '../shape/dim.js';
import { writeModel } from '../model/model.js';
import { foldShapes } from './fold-shapes.js';

const ops = (graph: Graph) => graph.nodes.map(({ op }) => op);

describe('foldShapes', () => {
  test('leaves a reshape with a constant shape of the arithmetic that computed it', async () => {
    const graph = new Graph('test');
    const e = emitterOf(graph);
    const x = graph.addInput('x', { dtype: 'float32', shape: [symbol('batch'), 6, 4] });
    const dim = (i: number) => e.unsqueeze(e.gather(e.node('Shape', [x]), e.scalar(i, 'int64')), [0]);
    const half = e.div(dim(2), e.int64([2]));
    graph.outputs.push(e.reshape(x, e.concat([dim(0), dim(1), e.int64([2]), half], 0)));
    foldShapes(graph);
    graph.removeDead();
    expect(ops(graph)).toEqual(['Reshape']);
    expect(graph.initializers.map(({ tensor }) => tensor?.toNumbers())).toEqual([[-1, 6, 2, 2]]);
    const results = await runGraph(graph, { x: float32([3, 6, 4], randomNumbers(72, 1)) });
    expect(Object.values(results)[0].dims).toEqual([3, 6, 2, 2]);
  });

  test('keeps what depends on several free dimensions, what is not known, and what is an output', () => {
    const graph = new Graph('test');
    const e = emitterOf(graph);
    const x = graph.addInput('x', { dtype: 'float32', shape: [symbol('a'), symbol('b')] });
    const fed = graph.addInput('fed', { dtype: 'int64', shape: [2] });
    const known = e.node('Shape', [graph.addInitializer('w', Tensor.of('float32', [2], Float32Array.of(1, 2)))]);
    graph.outputs.push(e.node('Expand', [x, e.node('Shape', [x])]), e.node('Expand', [x, e.mul(fed, fed)]), known);
    foldShapes(graph);
    graph.removeDead();
    expect(ops(graph).sort()).toEqual(['Expand', 'Expand', 'Mul', 'Shape', 'Shape']);
  });

  test("keeps the largest int64, a slice's 'to the end', what it is", async () => {
    const graph = new Graph('test');
    const e = emitterOf(graph);
    const x = graph.addInput('x', { dtype: 'float32', shape: [4] });
    const end = e.node('Constant', [], { value: Tensor.of('int64', [], BigInt64Array.of(2n ** 63n - 1n)) });
    const [start, axis] = [e.int64([1]), e.int64([0])];
    graph.outputs.push(e.node('Slice', [x, start, e.unsqueeze(end, [0]), axis]));
    foldShapes(graph);
    graph.removeDead();
    const results = await runGraph(graph, { x: float32([4], [1, 2, 3, 4]) });
    expect(Object.values(results)[0].data).toEqual([2, 3, 4]);
  });

  test('takes all shape arithmetic out of an exported attention block and changes nothing else', async () => {
    const model = await readModel(dataFile('attention.onnx'));
    const graph = importGraph(model);
    graph.removeDead();
    expect(ops(graphFromModel(model))).toContain('Shape');
    expect(ops(graph)).not.toContain('Shape');
    const feeds = { tokens: float32([2, 6, 16], randomNumbers(192, 5)) };
    const original = await Session.fromBytes(writeModel(model));
    const expected = (await original.run(feeds)).logits;
    await original.release();
    const actual = (await runGraph(graph, feeds)).logits;
    // The same kernels on the same numbers, fused differently perhaps: a few units in the last place.
    expect(relativeError(actual.data, expected.data)).toBeLessThan(1e-6);
  });
});
