import { runGraph } from '@adakit/onnx-reference';
import fc from 'fast-check';
import { emitterOf } from '../inference/emitter-of.js';
import { describe, expect, test } from 'vitest';
import type { Emitter } from '../graph/emitter.js';
import { Graph } from '../graph/graph.js';
import type { Value } from '../graph/value.js';
import { Tensor } from '../model/tensor.js';
import { symbol, type Dim } from '../shape/dim.js';
import { printShape } from '../shape/shape.js';

function sketch() {
  const graph = new Graph('test');
  const e = emitterOf(graph);
  const input = (shape: readonly Dim[], dtype: 'float32' | 'int64' = 'float32') =>
    graph.addInput(graph.uniqueName('x'), { dtype, shape });
  return { graph, e, input };
}

const batch = symbol('batch');
const seq = symbol('seq');

describe('shape arithmetic', () => {
  /** Takes one element of a shape, as PyTorch exports `x.shape[i]`. */
  const dimOf = (e: Emitter, x: Value, i: number) => e.gather(e.node('Shape', [x]), e.scalar(i, 'int64'));

  test('resolves a view to attention heads and back', () => {
    const { e, input } = sketch();
    const x = input([batch, seq, 64]);
    const sizes = [dimOf(e, x, 0), dimOf(e, x, 1)].map((dim) => e.unsqueeze(dim, [0]));
    const heads = e.reshape(x, e.concat([...sizes, e.int64([8]), e.int64([8])], 0));
    expect(printShape(heads.shape)).toBe('[batch, seq, 8, 8]');
    const back = e.reshape(e.transpose(heads, [0, 2, 1, 3]), [0, 8, -1]);
    expect(printShape(back.shape)).toBe('[batch, 8, 8*seq]');
  });

  test('resolves computed sizes: products, quotients, rests and differences', () => {
    const { e, input } = sketch();
    const x = input([batch, seq, 64]);
    const [b, s] = [dimOf(e, x, 0), dimOf(e, x, 1)];
    const n = (value: number) => e.scalar(value, 'int64');
    expect(e.mul(b, s).contents?.map(String)).toEqual(['batch*seq']);
    expect(e.div(e.mul(e.mul(b, s), n(4)), e.mul(s, n(2))).contents?.map(String)).toEqual(['2*batch']);
    expect(e.div(e.add(s, n(1)), n(2)).contents?.map(String)).toEqual(['floor((seq + 1) / 2)']);
    expect(e.node('Mod', [e.mul(s, n(6)), n(3)]).contents).toEqual([0]);
    expect(e.sub(e.add(b, s), b).contents?.map(String)).toEqual(['seq']);
    expect(e.node('Size', [x]).contents?.map(String)).toEqual(['64*batch*seq']);
    expect(e.node('Max', [b, n(1)]).contents?.map(String)).toEqual(['batch']);
  });

  test('resolves the expand that PyTorch exports with ConstantOfShape, Equal and Where', () => {
    const { e, input } = sketch();
    const x = input([1, 1, 8]);
    const like = input([batch, seq]);
    const wanted = e.concat([e.unsqueeze(dimOf(e, like, 0), [0]), e.int64([-1, -1])], 0);
    const ones = e.node('ConstantOfShape', [e.shapeOf(wanted)], { value: Tensor.int64([1]) });
    const unchanged = e.equal(wanted, e.mul(ones, e.scalar(-1, 'int64')));
    expect(unchanged.contents).toEqual([0, 1, 1]);
    const shape = e.where(unchanged, ones, wanted);
    expect(printShape(e.node('Expand', [x, shape]).shape)).toBe('[batch, 1, 8]');
  });

  test('resolves powers and totals of sizes', () => {
    const { e, input } = sketch();
    const x = input([batch, seq, 64]);
    const n = (value: number) => e.scalar(value, 'int64');
    const shape = e.node('Shape', [x]);
    expect(e.pow(dimOf(e, x, 0), n(2)).contents?.map(String)).toEqual(['batch*batch']);
    expect(e.pow(n(2), n(10)).contents).toEqual([1024]);
    expect(e.pow(n(2), n(-1)).contents).toBeUndefined();
    const total = (op: string) => e.node(op, [shape], { keepdims: 0 }).contents?.map(String);
    expect(total('ReduceProd')).toEqual(['64*batch*seq']);
    expect(total('ReduceSum')).toEqual(['batch + seq + 64']);
    expect(total('ReduceMax')).toEqual(['max(64, batch, seq)']);
    expect(total('ReduceMin')).toEqual(['min(64, batch, seq)']);
  });

  test('resolves sizes computed with floats', () => {
    const { e, input } = sketch();
    const x = input([batch, seq, 64]);
    const f = (value: number) => e.scalar(value, 'float32');
    const size = (value: Value) => e.cast(value, 'int64').contents?.map(String);
    const [s, width] = [dimOf(e, x, 1), dimOf(e, x, 2)].map((dim) => e.cast(dim, 'float32'));
    // The side of a square grid, as vision transformers compute it.
    expect(size(e.pow(width, f(0.5)))).toEqual(['8']);
    expect(size(e.sqrt(width))).toEqual(['8']);
    // interpolate(scale_factor=…)
    expect(size(e.node('Floor', [e.mul(s, f(0.5))]))).toEqual(['floor(seq / 2)']);
    expect(size(e.node('Ceil', [e.div(s, f(4))]))).toEqual(['floor((seq + 3) / 4)']);
    expect(size(e.mul(s, f(1.5)))).toEqual(['floor(seq / 2) + seq']);
    expect(size(e.mul(width, f(0.7)))).toEqual(['44']);
    expect(size(e.node('Round', [e.mul(width, f(0.1640625))]))).toEqual(['10']);
    // No fraction of few parts: float32 decides where it is rounded.
    expect(size(e.mul(s, f(0.7)))).toBeUndefined();
    // Neither weights nor what is fed.
    expect(size(e.mul(input([1]), f(2)))).toBeUndefined();
    const weights = Tensor.of('float32', [9], new Float32Array(9));
    expect(e.cast(e.node('Constant', [], { value: weights }), 'int64').contents).toBeUndefined();
  });

  test('resolves pads put together from the pieces of a constant', () => {
    const { e, input } = sketch();
    const x = input([batch, 3, 8, 8]);
    const [n0, c0, h0, w0, n1, c1, h1, w1] = e.nodes(
      'Split',
      [e.int64([0, 1, 1, 0, 0, 1, 2, 0])],
      { num_outputs: 8 },
      8,
    );
    const pads = e.concat([n0, w0, c0, h0, n1, w1, c1, h1], 0);
    expect(pads.contents).toEqual([0, 0, 1, 1, 0, 0, 1, 2]);
    expect(printShape(e.node('Pad', [x, pads]).shape)).toBe('[batch, 3, 10, 11]');
    const [head, tail] = e.nodes('Split', [e.node('Shape', [x]), e.int64([1, 3])], {}, 2);
    expect([head, tail].map(({ contents }) => contents?.map(String))).toEqual([['batch'], ['3', '8', '8']]);
  });

  test('resolves the pads that PyTorch turns around in pairs, for every way to slice and transpose a matrix', async () => {
    const { e, input } = sketch();
    const x = input([batch, 576]);
    const pairs = e.reshape(e.int64([0, 64, 3, 0]), e.int64([-1, 2]));
    const reversed = e.slice(pairs, { starts: [-1], ends: [-(2 ** 63)], axes: [0], steps: [-1] });
    const pads = e.reshape(e.transpose(reversed, [1, 0]), [-1]);
    expect(pads.contents).toEqual([3, 0, 0, 64]);
    expect(printShape(e.node('Pad', [x, pads]).shape)).toBe('[batch + 3, 640]');

    const range = fc.record({
      axis: fc.nat(2),
      start: fc.integer({ min: -5, max: 5 }),
      end: fc.integer({ min: -5, max: 5 }),
    });
    const step = fc.integer({ min: -2, max: 2 }).filter((n) => n !== 0);
    const perm = fc.constantFrom([0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]);
    await fc.assert(
      fc.asyncProperty(range, step, perm, async ({ axis, start, end }, stride, order) => {
        const { graph, e: emitter } = sketch();
        const cube = emitter.reshape(emitter.int64(Array.from({ length: 24 }, (_, i) => i)), emitter.int64([2, 3, 4]));
        const sliced = emitter.slice(cube, { starts: [start], ends: [end], axes: [axis], steps: [stride] });
        const flat = emitter.reshape(emitter.transpose(sliced, order), emitter.int64([-1]));
        graph.outputs.push(flat);
        const results = await runGraph(graph, {});
        expect(flat.contents).toEqual(results[flat.name].data);
      }),
      { numRuns: 60 },
    );
  });

  test('resolves ranges, casts, squeezes and negative indices', () => {
    const { e, input } = sketch();
    const x = input([batch, seq, 64]);
    const range = e.node('Range', [e.scalar(0, 'int64'), dimOf(e, x, -2), e.scalar(1, 'int64')]);
    expect(printShape(range.shape)).toBe('[seq]');
    const counted = e.node('Range', [e.scalar(1, 'int64'), e.scalar(8, 'int64'), e.scalar(3, 'int64')]);
    expect(counted.contents).toEqual([1, 4, 7]);
    const asInt32 = e.cast(e.node('Shape', [x]), 'int32');
    expect(e.cast(asInt32, 'bool').contents).toEqual([1, 1, 1]);
    const last = e.slice(e.cast(asInt32, 'int64'), { starts: [-1], ends: [2 ** 31 - 1], axes: [0] });
    expect(e.squeeze(last, [0]).contents).toEqual([64]);
  });

  test('follows slices along free dimensions', () => {
    const { e, input } = sketch();
    const x = input([batch, seq]);
    const slice = (start: number, end: number, step = 1) =>
      printShape(e.slice(x, { starts: [start], ends: [end], axes: [1], steps: [step] }).shape);
    const end = 2 ** 31 - 1;
    expect(slice(1, end)).toBe('[batch, seq - 1]');
    expect(slice(0, -1)).toBe('[batch, seq - 1]');
    expect(slice(-1, end)).toBe('[batch, 1]');
    expect(slice(0, end, 2)).toBe('[batch, floor((seq + 1) / 2)]');
    expect(slice(-1, -end, -1)).toBe('[batch, seq]');
    expect(slice(0, 5)).toBe('[batch, min(5, seq)]');
  });

  test('keeps the rank, and what else it can, when contents are known at run time only', () => {
    const { e, input } = sketch();
    const x = input([batch, 6]);
    const bounds = input([1], 'int64');
    expect(e.reshape(x, input([3], 'int64')).shape).toHaveLength(3);
    const sliced = e.node('Slice', [x, bounds, bounds, e.int64([1])]);
    expect(printShape(sliced.shape)).toMatch(/^\[batch, \?\d+\]$/);
    const summed = e.node('ReduceSum', [x, bounds], { keepdims: 1 });
    expect(summed.shape).toHaveLength(2);
    expect(() => e.node('ReduceSum', [x, bounds], { keepdims: 0 })).toThrow('the rank of its result cannot be known');
  });

  test.each(['Reshape', 'Expand'])('%s to more dimensions than a tensor has is refused', (op) => {
    const { e, input } = sketch();
    expect(() => e.node(op, [input([batch, 6]), input([2 ** 31], 'int64')])).toThrow(
      'lists 2147483648 dimensions; no tensor has more than 64',
    );
  });

  test('slices known vectors and shapes exactly as ONNX Runtime does', async () => {
    const bound = fc.oneof(fc.integer({ min: -9, max: 9 }), fc.constantFrom(2 ** 31 - 1, -(2 ** 31)));
    const step = fc.integer({ min: -4, max: 4 }).filter((n) => n !== 0);
    const length = fc.integer({ min: 1, max: 7 });
    await fc.assert(
      fc.asyncProperty(length, bound, bound, step, async (n, start, end, stride) => {
        const { graph, e, input } = sketch();
        const free = input([symbol('n')]);
        const range = { starts: [start], ends: [end], axes: [-1], steps: [stride] };
        const known = e.slice(e.int64(Array.from({ length: n }, (_, i) => 10 + i)), range);
        const shaped = e.slice(input([n]), range);
        graph.outputs.push(known, shaped);
        const ones = { dtype: 'float32' as const, dims: [n], data: new Array<number>(n).fill(1) };
        const results = await runGraph(graph, { x: ones, x_1: ones });
        expect(free.name).toBe('x');
        expect(known.contents).toEqual(results[known.name].data);
        expect(shaped.shape).toEqual(results[shaped.name].dims);
      }),
      { numRuns: 150 },
    );
  });
});
