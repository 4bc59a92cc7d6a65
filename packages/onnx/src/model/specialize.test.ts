import { float32, runGraph, Session } from '@adakit/onnx-reference';
import { describe, expect, test } from 'vitest';
import { checkModel } from '../check/check-model.js';
import { emitterOf } from '../inference/emitter-of.js';
import { Graph } from '../graph/graph.js';
import { modelFromGraph } from '../graph/to-model.js';
import { importGraph } from '../passes/import.js';
import { symbol } from '../shape/dim.js';
import { parseModel, writeModel } from './model.js';
import { specialize } from './specialize.js';
import { Tensor } from './tensor.js';

/** y[batch, 2] = x[batch, 3] · w, times a number that is fed: `rate` of int64 or `gain` of any length. */
function model() {
  const graph = new Graph('test');
  const e = emitterOf(graph);
  const x = graph.addInput('x', { dtype: 'float32', shape: [symbol('batch'), 3] });
  const rate = graph.addInput('rate', { dtype: 'int64', shape: [] });
  const gain = graph.addInput('gain', { dtype: 'float32', shape: [graph.unknownDim()] });
  const w = graph.addInitializer('w', Tensor.filled('float32', [3, 2], 0.5));
  const y = e.mul(e.mul(e.matMul(x, w), e.cast(rate, 'float32')), gain);
  graph.rename(y, 'y');
  graph.outputs.push(y);
  return parseModel(writeModel(modelFromGraph(graph)));
}

const rate = Tensor.scalar('int64', 16);

describe('specialize', () => {
  test('fixes free dimensions by name or by place', () => {
    const check = checkModel(specialize(model(), { dims: { batch: 4, 'gain[0]': 2 } }));
    expect(check.inputs.map(({ name, shape }) => [name, shape])).toEqual([
      ['x', [4, 3]],
      ['rate', []],
      ['gain', [2]],
    ]);
    expect(check.outputs[0].shape).toEqual([4, 2]);
    const byPlace = checkModel(specialize(model(), { dims: { 'x[0]': 4 } }));
    expect(byPlace.outputs[0].shape[0]).toBe(4);
    const twice = specialize(specialize(model(), { dims: { batch: 4 } }), { dims: { 'gain[0]': 2 } });
    expect(checkModel(twice)).toEqual(check);
    expect(Buffer.compare(writeModel(twice), writeModel(model()))).toBe(0);
  });

  test('fixes inputs at values, which then count as known', async () => {
    const original = model();
    const fixed = specialize(original, { inputs: { rate } });
    expect(checkModel(fixed).inputs.map(({ name }) => name)).toEqual(['x', 'gain']);
    const graph = importGraph(fixed);
    expect(graph.value('rate')?.contents).toEqual([16]);
    const { y } = await runGraph(graph, { x: float32([1, 3], [1, 2, 3]), gain: float32([2], [1, -1]) });
    // (1 + 2 + 3) · 0.5 · 16
    expect(y.data).toEqual([48, -48]);
    const runtime = await Session.fromBytes(writeModel(fixed));
    const same = await runtime.run({ x: float32([1, 3], [1, 2, 3]), gain: float32([2], [1, -1]) });
    await runtime.release();
    expect(same.y.data).toEqual(y.data);
    expect(checkModel(original).inputs).toHaveLength(3);
    expect(specialize(original, {})).toBe(original);
  });

  test('fixes inputs of floats, which do not become parameters', () => {
    const gain = Tensor.of('float32', [2], Float32Array.of(1, -1));
    const check = checkModel(specialize(model(), { inputs: { gain } }));
    expect(check.inputs.map(({ name }) => name)).toEqual(['x', 'rate']);
    expect(check.parameters.map(({ name }) => name)).toEqual(['w']);
  });

  test.each([
    [{ dims: { bacth: 4 } }, "has no free dimension 'bacth' (did you mean 'batch'?)"],
    [{ dims: { batch: 0 } }, "the dimension 'batch' cannot be 0"],
    [{ dims: { 'x[1]': 5 } }, "'x[1]' is 3 in the model; it cannot be 5"],
    [{ inputs: { rat: rate } }, "has no input 'rat' (did you mean 'rate'?)"],
    [{ inputs: { w: rate } }, "has no input 'w'"],
    [{ inputs: { rate: Tensor.scalar('float32', 16) } }, "the input 'rate' is int64, not float32"],
    [{ inputs: { rate: Tensor.int64([16, 16]) } }, "the input 'rate' has shape [], not [2]"],
  ])('refuses %j', (what, message) => {
    expect(() => specialize(model(), what)).toThrow(message);
  });
});
