import { describe, expect, it } from 'vitest';
import {
  asMatrix,
  broadcast,
  deviceInput,
  hostInput,
  largest,
  matMul,
  mean,
  norm,
  scalar,
  sum,
  transpose,
  where,
  type ExpressionNodeReference,
  type Tensor,
} from '../../expression/expression.js';
import { REDUCTION_BLOCK } from '../../expression/operations.js';
import { matrixExtents } from '../../expression/extents.js';
import { buildProgram } from '../../program/program.js';
import { evaluateScalars } from '../../program/scalars.js';
import type { FloatArray } from '../../tensor/tensor-data.js';
import { interpret } from '../reference/interpret.js';
import { compileKernel } from './compile.js';

const param = deviceInput('param', 'param');
const grad = deviceInput('grad', 'param');
const lr = hostInput('hyper.lr');

/** Runs the kernel in place on arrays and checks every bit against the interpreter. */
function expectSameBits(
  outputs: Readonly<Record<string, ExpressionNodeReference>>,
  arrays: Readonly<Record<string, FloatArray>>,
  shape: readonly number[],
): void {
  const program = buildProgram('test', outputs);
  const scalars = evaluateScalars(program, () => 0.3);
  const place = { shape, extents: matrixExtents(shape) };
  const expected = interpret(program, arrays, scalars, place, 'float32');
  const untouched = Object.entries(arrays).filter(([name]) => !Object.hasOwn(outputs, name));
  const before = untouched.map(([name, array]) => [name, array.slice()] as const);
  void compileKernel(program)
    .bind([{ buffers: arrays, ...place }])
    .run([scalars]);
  for (const name of Object.keys(outputs)) expect(arrays[name], name).toEqual(expected[name]);
  expect(untouched).toEqual(before);
}
const f32 = (...values: number[]): Float32Array => Float32Array.from(values);

describe('the compiled loop equals the interpreter to the last bit', () => {
  it('for outputs that trade places with what it reads, which it updates in place', () => {
    const a = deviceInput('slot.a', 'param');
    const b = deviceInput('slot.b', 'param');
    expectSameBits(
      { param: a, 'slot.a': b, 'slot.b': param.add(a) },
      { param: f32(1, 2), 'slot.a': f32(3, 4), 'slot.b': f32(5, 6) },
      [2],
    );
  });

  it('for numbers, rows, columns and elements that read each other', () => {
    const n = deviceInput('slot.n', 'number');
    const column = deviceInput('slot.column', ['rows', 1]);
    const row = deviceInput('slot.row', [1, 'cols']);
    const m = asMatrix(param);
    expectSameBits(
      {
        param: param.mul(n).add(sum(row)),
        'slot.n': n.add(sum(param)).mul(lr),
        'slot.column': column.add(sum(m, 'cols')).mul(n),
        'slot.row': row.add(largest(m, 'rows')).sub(norm(column)),
      },
      { param: f32(1, 2, 3, 4, 5, 6), 'slot.n': f32(7), 'slot.column': f32(8, 9), 'slot.row': f32(1, 2, 3) },
      [2, 3],
    );
  });

  it('for several totals of one value', () => {
    const square = sum(grad.square());
    const outputs = { 'sum.a': square, 'sum.b': square.add(1), 'largest.c': square.neg() };
    const arrays = { grad: f32(1, 2, 3), 'sum.a': f32(100), 'sum.b': f32(0), 'largest.c': f32(-3) };
    void compileKernel(buildProgram('test', outputs))
      .bind([{ buffers: arrays, shape: [3], extents: { rows: 3, cols: 1 } }])
      .run([evaluateScalars(buildProgram('test', outputs), () => 0)]);
    expect([arrays['sum.a'][0], arrays['sum.b'][0], arrays['largest.c'][0]]).toEqual([114, 15, -3]);
  });

  it('for reductions of what spans rows and columns', () => {
    const outer = sum(asMatrix(param), 'cols').mul(sum(asMatrix(grad), 'rows'));
    const arrays = { param: f32(1, 2, 3, 4, 5, 6), grad: f32(6, 5, 4, 3, 2, 1) };
    expectSameBits({ param: mean(outer).add(param) }, arrays, [2, 3]);
    expectSameBits({ param: mean(matMul(outer, transpose(outer))).add(param) }, arrays, [2, 3]);
  });

  it.each([REDUCTION_BLOCK - 1, REDUCTION_BLOCK, REDUCTION_BLOCK + 1, 3 * REDUCTION_BLOCK + 5])(
    'for reductions of %d elements, whose order of summation shows',
    (length) => {
      const values = Float32Array.from({ length }, (_, i) => Math.sin(i) * 10 ** ((i % 9) - 4));
      const reduced = sum(grad.mul(lr)).add(norm(grad)).sub(mean(grad)).add(largest(grad));
      expectSameBits({ param: param.sub(reduced) }, { param: values.slice(), grad: values.toReversed() }, [length]);
      expectSameBits(
        { param: broadcast(sum(sum(asMatrix(grad), 'rows')), 'param') },
        { param: values.slice(), grad: values },
        [length],
      );
    },
  );

  it('for reductions that wait for each other, and numbers compared with scalars', () => {
    const unit = grad.div(norm(grad).max(lr));
    const centred = unit.sub(mean(unit));
    const rate = where(norm(centred).greater(lr), norm(param).div(norm(centred)), lr);
    expectSameBits({ param: param.sub(centred.mul(rate)) }, { param: f32(1, 2, -3), grad: f32(0.1, 0.2, 5) }, [3]);
  });

  it('for values that are the same everywhere', () => {
    const everywhere = (x: Tensor): Tensor => broadcast(x, 'param');
    expectSameBits({ param: everywhere(mean(param)) }, { param: f32(1, 2, 4) }, [3]);
    expectSameBits({ param: broadcast(lr.sqrt(), 'param') }, { param: f32(1, 2, 4) }, [3]);
    expectSameBits({ param: broadcast(scalar(2), 'param') }, { param: f32(1, 2, 4) }, [3]);
  });

  it('for empty parameters', () => {
    expectSameBits({ param: param.sub(mean(grad)) }, { param: f32(), grad: f32() }, [0]);
    expectSameBits({ 'slot.row': sum(asMatrix(param), 'rows') }, { param: f32(), 'slot.row': f32(1, 2, 3) }, [0, 3]);
  });
});

it('a kernel runs on every bound parameter in turn, with its own scalars', () => {
  const program = buildProgram('test', { param: param.sub(grad.mul(lr)), 'sum.n': sum(grad) });
  const total = f32(0);
  const bindings = [1, 2].map((n) => ({
    buffers: { param: f32(n, n), grad: f32(n, 1), 'sum.n': total },
    shape: [2],
    extents: { rows: 2, cols: 1 },
  }));
  const scalars = [10, 100].map((rate) => evaluateScalars(program, () => rate));
  void compileKernel(program).bind(bindings).run(scalars);
  expect(bindings.map(({ buffers }) => [...buffers.param])).toEqual([
    [1 - 10, 1 - 10],
    [2 - 200, 2 - 100],
  ]);
  expect(total[0]).toBe(1 + 1 + 2 + 1);
});
