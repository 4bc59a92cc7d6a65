import { describe, expect, it } from 'vitest';
import {
  asMatrix,
  asParam,
  broadcast,
  cast,
  colIndex,
  deviceInput,
  hostInput,
  largest,
  matMul,
  mean,
  norm,
  random,
  rowIndex,
  scalar,
  sum,
  transpose,
  where,
  type Tensor,
} from '../../expression/expression.js';
import { matrixExtents } from '../../expression/extents.js';
import { buildProgram } from '../../program/program.js';
import { evaluateScalars } from '../../program/scalars.js';
import { fillRandom } from '../../random/philox.js';
import type { Precision } from '../../tensor/tensor-data.js';
import { interpret } from './interpret.js';
import { bfloat16 } from '../../tensor/narrow.js';

const param = deviceInput('param', 'param');
const grad = deviceInput('grad', 'param');
const lr = hostInput('hyper.lr');
const step = hostInput('step');
const m = asMatrix(param);

interface Setting {
  readonly precision?: Precision;
  readonly lr?: number;
  readonly shape?: readonly number[];
  readonly units?: 'first' | 'last';
}
/** The value of an expression; the gradient is half the parameter. */
function value(result: Tensor, values: readonly number[], setting: Setting = {}): number[] {
  const { precision = 'float64', shape = [values.length], units } = setting;
  const program = buildProgram('test', { result });
  const array = precision === 'float32' ? Float32Array.from(values) : Float64Array.from(values);
  const scalars = evaluateScalars(program, (name) => (name === 'step' ? 3 : (setting.lr ?? 0.1)));
  const inputs = { param: array, grad: array.map((x) => x / 2) };
  return [...interpret(program, inputs, scalars, { shape, extents: matrixExtents(shape, units) }, precision).result];
}

describe('interpret', () => {
  it('computes element by element', () => {
    expect(value(param.sub(grad.mul(lr)), [1, 2])).toEqual([1 - 0.5 * 0.1, 2 - 1 * 0.1]);
  });

  it('rounds every operation in float32', () => {
    const { fround } = Math;
    const x = fround(1.1);
    expect(value(param.square().add(param).sqrt(), [x], { precision: 'float32' })).toEqual([
      fround(Math.sqrt(fround(fround(x * x) + x))),
    ]);
  });

  it('keeps scalars in float64 until they meet a tensor', () => {
    // 1e-8 is lost when 1 + 1e-8 is rounded to float32, but not when the scalars cancel first.
    const narrow = { precision: 'float32', lr: 1e-8 } as const;
    expect(value(param.mul(scalar(1).add(lr).sub(1)), [1], narrow)).toEqual([Math.fround(1 + 1e-8 - 1)]);
    expect(value(param.add(lr).sub(1), [1], narrow)).toEqual([0]);
  });

  it('decides conditions on scalars in float64', () => {
    // In float32 both sides are 1.
    const condition = scalar(1).less(scalar(1).add(lr));
    expect(value(where(condition, param, 0), [7], { precision: 'float32', lr: 1e-8 })).toEqual([7]);
  });

  it('takes the side of where that holds, even if the other is NaN', () => {
    expect(value(where(param.greater(0), param.sqrt(), 0), [4, -4, 0, NaN])).toEqual([2, 0, 0, 0]);
  });

  it('reduces over all elements to one number', () => {
    expect(value(sum(param), [1, 2, 6])).toEqual([9]);
    expect(value(mean(param), [1, 2, 6])).toEqual([3]);
    expect(value(norm(param), [2, -3, 6])).toEqual([7]);
    expect(value(largest(param), [2, -3, 6])).toEqual([6]);
  });

  it('rounds a sum once, at the end', () => {
    expect(value(sum(param), [2 ** 24, 1, 1], { precision: 'float32' })).toEqual([2 ** 24 + 2]);
  });

  it('feeds reductions of reductions', () => {
    // Σ(x / ‖x‖) with x = (3, 4)
    expect(value(param.mul(sum(param.div(norm(param)))), [3, 4])).toEqual([3 * 1.4, 4 * 1.4]);
  });

  const matrix = [1, 2, 3, 4, 5, 6];
  const cases: [string, Tensor, number[]][] = [
    ['a sum over columns', sum(m, 'cols'), [6, 15]],
    ['a sum over rows', sum(m, 'rows'), [5, 7, 9]],
    ['a mean over columns', mean(m, 'cols'), [2, 5]],
    ['a norm over rows', norm(m, 'rows'), [1, 2, 3].map((x) => Math.sqrt(x * x + (x + 3) ** 2))],
    ['the largest over columns', largest(m.neg(), 'cols'), [-1, -4]],
    ['a transpose', transpose(m), [1, 4, 2, 5, 3, 6]],
    ['a product', matMul(m, transpose(m)), [14, 32, 32, 77]],
    ['a product the other way', matMul(transpose(m), m), [17, 22, 27, 22, 29, 36, 27, 36, 45]],
    ['a column against a row', sum(m, 'cols').add(sum(m, 'rows')), [11, 13, 15, 20, 22, 24]],
    ['a matrix less its column means', m.sub(mean(m, 'cols')), [-1, 0, 1, -1, 0, 1]],
    ['a matrix over its row sums', m.div(sum(m, 'rows')), [1 / 5, 2 / 7, 3 / 9, 4 / 5, 5 / 7, 6 / 9]],
    ['indices', rowIndex().mul(10).add(colIndex()), [0, 1, 2, 10, 11, 12]],
    ['a repeated column', broadcast(rowIndex(), ['rows', 'cols']), [0, 0, 0, 1, 1, 1]],
    ['a repeated row', broadcast(colIndex(), ['rows', 'cols']), [0, 1, 2, 0, 1, 2]],
    ['a repeated number', broadcast(sum(param), [1, 'cols']), [21, 21, 21]],
    ['a repeated scalar', broadcast(step, ['rows', 1]), [3, 3]],
    ['the way back to the parameter', asParam(m.mul(2)), [2, 4, 6, 8, 10, 12]],
    [
      'a narrow format',
      cast(param.mul(0.1), bfloat16),
      [0.10009765625, 0.2001953125, 0.30078125, 0.400390625, 0.5, 0.6015625],
    ],
  ];
  it.each(cases)('gives %s', (_, result, expected) => {
    expect(value(result, matrix, { shape: [2, 3] })).toEqual(expected);
  });

  it('views a parameter by its outputs, first or last', () => {
    const rows = sum(m, 'cols');
    expect(value(rows, [1, 2, 3, 4, 5, 6, 7, 8], { shape: [2, 2, 2] })).toEqual([10, 26]);
    expect(value(rows, [1, 2, 3, 4, 5, 6, 7, 8], { shape: [2, 2, 2], units: 'last' })).toEqual([3, 7, 11, 15]);
    expect(value(rows, [1, 2, 3])).toEqual([1, 2, 3]);
    expect(value(rows, [7], { shape: [] })).toEqual([7]);
  });

  it('sums products in float32 in order of the inner index', () => {
    // 1 is lost beside 2^24, at the time it comes.
    const dot = matMul(sum(m, 'rows'), transpose(broadcast(scalar(1), [1, 'cols'])));
    expect(value(dot, [2 ** 24, 1, 1], { precision: 'float32', shape: [1, 3] })).toEqual([2 ** 24]);
    expect(value(dot, [1, 1, 2 ** 24], { precision: 'float32', shape: [1, 3] })).toEqual([2 ** 24 + 2]);
  });

  it('draws random numbers by seed, key, step and stream', () => {
    const drawn = new Float64Array(5);
    fillRandom('normal', { seed: 5, key: 5, step: 3, stream: 2 }, drawn);
    const noise = random('normal', { seed: lr, key: lr, step }, 2);
    expect(value(noise, [1, 2, 3, 4, 5], { lr: 5 })).toEqual([...drawn]);
  });

  it('works on empty parameters', () => {
    expect(value(param.add(mean(grad)).sub(norm(grad)), [])).toEqual([]);
    expect(value(sum(m, 'rows'), [], { shape: [0, 3] })).toEqual([0, 0, 0]);
    expect(value(sum(m, 'cols'), [], { shape: [0, 3] })).toEqual([]);
    expect(value(matMul(transpose(m), m), [], { shape: [0, 2] })).toEqual([0, 0, 0, 0]);
  });

  it('returns new arrays and leaves its inputs alone', () => {
    const program = buildProgram('test', { param: grad, 'slot.m': param });
    const inputs = { param: Float32Array.of(1), grad: Float32Array.of(2) };
    const where = { shape: [1], extents: { rows: 1, cols: 1 } };
    const result = interpret(program, inputs, new Float64Array(2), where, 'float32');
    expect(result).toEqual({ param: Float32Array.of(2), 'slot.m': Float32Array.of(1) });
    result.param[0] = 9;
    result['slot.m'][0] = 9;
    expect(inputs).toEqual({ param: Float32Array.of(1), grad: Float32Array.of(2) });
  });
});
