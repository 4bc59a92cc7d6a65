import { describe, expect, it } from 'vitest';
import { AdakitError } from '../errors.js';
import { referenceDevice } from '../device/reference/device.js';
import { buildProgram } from '../program/program.js';
import { evaluateScalars } from '../program/scalars.js';
import type { Precision } from '../tensor/tensor-data.js';
import {
  asMatrix,
  asParam,
  broadcast,
  cast,
  colIndex,
  deviceInput,
  Expression,
  hostInput,
  largest,
  matMul,
  mean,
  movingAverage,
  norm,
  oneMinus,
  random,
  rowIndex,
  scalar,
  sum,
  transpose,
  watchConditions,
  where,
  type Condition,
  type ExpressionNode,
  type ExpressionNodeReference,
  type Tensor,
} from './expression.js';
import { operation, type OperationName } from './operations.js';
import { matrixExtents } from './extents.js';
import { bfloat16 } from '../tensor/narrow.js';

const x = deviceInput('param', 'param');
const y = deviceInput('grad', 'param');
const number = deviceInput('global.n', 'number');
const step = hostInput('step');
const matrix = asMatrix(x);
const column = sum(matrix, 'cols');
const row = sum(matrix, 'rows');

/** Where a value lives and how it is shaped. */
const typeOf = ({ node: { type } }: ExpressionNodeReference): string => `${type.place} ${String(type.shape)}`;

describe('an expression', () => {
  it('records the operation and its operands in the order written', () => {
    expect(x.mul(step).sub(y).node).toMatchObject({
      form: 'elementwise',
      op: 'sub',
      args: [{ node: { op: 'mul', args: [{ node: x.node }, { node: step.node }] } }, { node: y.node }],
    });
  });

  it('takes numbers as constants', () => {
    expect(x.add(0.5).node).toMatchObject({
      op: 'add',
      args: [{ node: x.node }, { node: { form: 'constant', value: 0.5 } }],
    });
  });

  it('is the host’s when made of host values alone, the device’s otherwise', () => {
    expect(typeOf(step.sqrt().div(3))).toBe('host number');
    expect(typeOf(step.mul(norm(x)).add(1))).toBe('device number');
    expect(typeOf(mean(x).mul(y))).toBe('device param');
    expect(typeOf(where(step.less(3), 1, mean(x)))).toBe('device number');
    expect(typeOf(where(x.less(0), 1, 2))).toBe('device param');
  });

  it('has a method for every operation', () => {
    const built: Record<OperationName, ExpressionNode> = {
      add: x.add(y).node,
      sub: x.sub(y).node,
      mul: x.mul(y).node,
      div: x.div(y).node,
      pow: x.pow(y).node,
      min: x.min(y).node,
      max: x.max(y).node,
      neg: x.neg().node,
      abs: x.abs().node,
      sign: x.sign().node,
      square: x.square().node,
      sqrt: x.sqrt().node,
      exp: x.exp().node,
      log: x.log().node,
      floor: step.floor().node,
      mod: step.mod(hostInput('hyper.every')).node,
      equal: x.equal(y).node,
      less: x.less(y).node,
      lessOrEqual: x.lessOrEqual(y).node,
      greater: x.greater(y).node,
      greaterOrEqual: x.greaterOrEqual(y).node,
      where: where(x.less(y), x, y).node,
    };
    for (const [op, node] of Object.entries(built)) {
      expect(node).toMatchObject({ form: 'elementwise', op });
      expect('args' in node && node.args).toHaveLength(operation(op as OperationName).evaluate.length);
    }
  });

  it('spells clip as the larger of the lower bound, then the smaller of the upper', () => {
    expect(x.clip(step, 1).node).toEqual(x.max(step).min(1).node);
  });

  it('spells the moving average as average·β + value·(1 − β)', () => {
    expect(movingAverage(x, y, step).node).toEqual(x.mul(step).add(y.mul(oneMinus(step))).node);
    expect(oneMinus(step).node).toMatchObject({ op: 'sub', args: [{ node: { value: 1 } }, { node: step.node }] });
  });
});

describe('shapes', () => {
  const shapes: [string, ExpressionNodeReference, string][] = [
    ['a number spreads over everything', number.mul(matrix), 'device rows,cols'],
    ['a matrix is the parameter’s elements by rows and columns', matrix, 'device rows,cols'],
    ['asParam undoes asMatrix', asParam(matrix), 'device param'],
    ['a sum over columns has one number a row', column, 'device rows,1'],
    ['a sum over rows has one number a column', row, 'device 1,cols'],
    ['a row and a column span a matrix', row.add(column), 'device rows,cols'],
    ['a column spreads over a matrix', matrix.div(column), 'device rows,cols'],
    ['transpose swaps the axes', transpose(matrix), 'device cols,rows'],
    ['matMul takes the outer axes', matMul(matrix, transpose(matrix)), 'device rows,rows'],
    ['matMul of a row and a column is one element', matMul(row, transpose(row)), 'device 1,1'],
    ['broadcast fills a shape', broadcast(column, ['rows', 'cols']), 'device rows,cols'],
    ['broadcast makes a scalar the device’s', broadcast(step, 'number'), 'device number'],
    ['a cast keeps the shape', cast(column, bfloat16), 'device rows,1'],
    ['an index is a column or a row', rowIndex(), 'device rows,1'],
    ['an index is a column or a row', colIndex(), 'device 1,cols'],
    ['random numbers are the parameter’s', random('normal', { seed: step, key: step, step }), 'device param'],
  ];
  it.each(shapes)('%s', (_, value, expected) => {
    expect(typeOf(value)).toBe(expected);
  });

  it('what is undone is not recorded', () => {
    expect(asParam(asMatrix(x)).node).toBe(x.node);
    expect(transpose(transpose(matrix)).node).toBe(matrix.node);
    expect(asMatrix(matrix)).toBe(matrix);
    expect(broadcast(x, 'param')).toBe(x);
  });

  const refused: [string, () => unknown, string][] = [
    [
      'the parameter’s shape with a matrix',
      () => x.add(column),
      "add cannot combine the parameter's with [rows, 1]; asMatrix and asParam change between the two",
    ],
    [
      'matrices of other axes',
      () => matrix.mul(transpose(matrix)),
      'mul cannot combine [rows, cols] with [cols, rows]',
    ],
    [
      'a choice between them',
      () => where(x.less(0), matrix, 0),
      "where cannot combine the parameter's with [rows, cols]",
    ],
    [
      'a product whose inner axes differ',
      () => matMul(matrix, matrix),
      'matMul takes matrices [m, k] and [k, n], got [rows, cols] and [rows, cols]',
    ],
    [
      'a product with the parameter',
      () => matMul(x, matrix),
      "matMul takes matrices [m, k] and [k, n], got the parameter's and [rows, cols]",
    ],
    ['the transpose of no matrix', () => transpose(x), "transpose takes a matrix, got the parameter's"],
    ['a number as a matrix', () => asMatrix(number), "asMatrix takes a value of the parameter's shape, got []"],
    ['a column as the parameter', () => asParam(column), 'asParam takes a matrix [rows, cols], got [rows, 1]'],
    ['reducing what is one number already', () => sum(norm(x)), 'sum reduces a tensor, got one number'],
    ['reducing a scalar', () => mean(step as unknown as Tensor), 'mean reduces a tensor, got a scalar'],
    [
      'reducing the parameter along an axis',
      () => largest(x, 'rows'),
      "largest takes 'rows' or 'cols' of a matrix, as asMatrix(x)",
    ],
    [
      'reducing along an axis that there is not',
      () => sum(matrix, 'row' as 'rows'),
      "sum takes 'rows' or 'cols' of a matrix, as asMatrix(x)",
    ],
    ['broadcasting to less', () => broadcast(matrix, ['rows', 1]), 'cannot broadcast [rows, cols] to [rows, 1]'],
    [
      'broadcasting a matrix to the parameter',
      () => broadcast(matrix, 'param'),
      "cannot broadcast [rows, cols] to the parameter's",
    ],
    ['rounding down on the device', () => x.floor(), 'floor is for scalars, not for tensors'],
    ['remainders on the device', () => step.mod(number), 'mod is for scalars'],
  ];
  it.each(refused)('refuse %s', (_, build, message) => {
    expect(build).toThrow(message);
    expect(build).toThrow(expect.objectContaining({ code: 'invalid-rule' }));
  });
});

describe('what JavaScript would get wrong without a word', () => {
  // A compiler refuses these; a JavaScript author may still write them.
  const loose = x as unknown as number;
  const t = step as unknown as number;
  const slips: [string, () => unknown, string][] = [
    [
      'grad * lr',
      () => loose * t,
      "JavaScript's operators do not work on symbolic values: write grad.mul(lr) for grad * lr",
    ],
    ['step > 1', () => t > 1, 'step.greater(1) for step > 1'],
    ['-x', () => -loose, 'x.neg() for -x'],
    ['Math.sqrt(x)', () => Math.sqrt(loose), 'x.sqrt() for Math.sqrt(x)'],
    ['`${x}`', () => `${loose}`, "JavaScript's operators do not work"],
    ['a comparison in arithmetic', () => (x.less(0) as unknown as number) + 1, "JavaScript's operators do not work"],
    ['NaN', () => x.mul(NaN), 'NaN as a constant, most likely of a missing value'],
    [
      'undefined',
      () => x.add(undefined as unknown as number),
      'an operand must be a number or a symbolic value, got undefined',
    ],
    ['text', () => x.add('1' as unknown as number), 'an operand must be a number or a symbolic value, got 1'],
    [
      'a comparison as an operand',
      () => x.mul(x.less(0) as unknown as Tensor),
      'got a comparison; write where(condition, a, b)',
    ],
    [
      'a value as a condition',
      () => where(x as unknown as Condition, 1, 2),
      'where takes a comparison first; write where(condition, a, b)',
    ],
  ];
  it.each(slips)('%s is refused with what to write', (_, slip, message) => {
    expect(slip).toThrow(message);
    expect(slip).toThrow(AdakitError);
  });

  it('a comparison that only an if has seen is found when the rule is traced', () => {
    const trace = (): Tensor => watchConditions(() => ((x.greater(0) as unknown as boolean) ? x : y));
    expect(trace).toThrow(
      'the comparison .greater(…) is never used: `if`, `?:`, `!` and `&&` cannot look at symbolic values',
    );
    expect(() => watchConditions(() => where(x.greater(0), x, y))).not.toThrow();
  });

  it('tracing inside tracing watches its own comparisons', () => {
    const inner = (): unknown => watchConditions(() => where(x.less(0), x, y));
    expect(() => watchConditions(() => [inner(), where(x.greater(0), x, y)])).not.toThrow();
    expect(() => watchConditions(() => [inner(), x.greater(0)])).toThrow('.greater(…) is never used');
    expect(inner).not.toThrow();
  });
});

describe('simplification', () => {
  const simplified: [string, { readonly node: ExpressionNode }, ExpressionNode | number][] = [
    ['x · 1', x.mul(1), x.node],
    ['1 · x', scalar(1).mul(x), x.node],
    ['x / 1', x.div(1), x.node],
    ['x − 0', x.sub(0), x.node],
    ['−(−x)', x.neg().neg(), x.node],
    ['min(x, x)', x.min(x), x.node],
    ['max(x, x)', x.max(x), x.node],
    ['x · x', x.mul(x), x.square().node],
    ['0.1 + 0.2', scalar(0.1).add(0.2), 0.1 + 0.2],
    ['1 − 0.999', oneMinus(scalar(0.999)), 1 - 0.999],
    ['√2 ^ 0.5', scalar(2).sqrt().pow(0.5), Math.sqrt(2) ** 0.5],
    ['where 1 < 2', where(scalar(1).less(2), x, y), x.node],
    ['where 1 > 2', where(scalar(1).greater(2), x, y), y.node],
  ];
  it.each(simplified)('reduces %s', (_, { node }, expected) => {
    if (typeof expected === 'number') expect(node).toMatchObject({ form: 'constant', value: expected });
    else expect(node).toEqual(expected);
  });

  const kept: [string, { readonly node: ExpressionNode }, OperationName][] = [
    ['x + 0, which turns −0 into 0', x.add(0), 'add'],
    ['x − (−0), which turns −0 into 0', x.sub(-0), 'sub'],
    ['x · 0, which is NaN for infinities and −0 for negatives', x.mul(0), 'mul'],
    ['0 / x, which is NaN for 0', scalar(0).div(x), 'div'],
    ['x − x, which is NaN for infinities', x.sub(x), 'sub'],
    ['x / x, which is NaN for 0', x.div(x), 'div'],
    ['x · (−1), which devices need not compute as a negation', x.mul(-1), 'mul'],
    ['x · y, whose operands differ', x.mul(y), 'mul'],
    ['where with a constant condition and a scalar for every element', where(scalar(1).less(2), 1, x), 'where'],
    ['log(−1), which was written, however odd', scalar(-1).log(), 'log'],
  ];
  it.each(kept)('keeps %s', (_, { node }, op) => {
    expect(node).toMatchObject({ op });
  });

  // Every operation on every pair of special values, as built by the methods (simplified) and as a raw node.
  const special = [0, -0, 1, -1, 0.1, 2, -3.5, 1e-45, 1.5e-39, 3e38, Infinity, -Infinity, NaN];
  const constants = special.filter((c) => !Number.isNaN(c));
  const evaluate = (node: ExpressionNode, precision: Precision): number[] => {
    const program = buildProgram('test', { param: { node } });
    const device = referenceDevice(precision);
    const shape = [special.length];
    const [[param]] = device.allocate([shape]);
    device.write(param, Float64Array.from(special));
    const bound = device
      .compile(program)
      .bind([{ buffers: { param, grad: param }, shape, extents: matrixExtents(shape) }]);
    void bound.run([evaluateScalars(program, () => 1)]);
    return [...param];
  };
  const raw = (op: OperationName, place: 'host' | 'device', ...args: ExpressionNode[]): ExpressionNode => ({
    form: 'elementwise',
    type: place === 'host' ? step.type : x.type,
    op,
    args: args.map((node) => ({ node })),
  });
  const binary = ['add', 'sub', 'mul', 'div', 'pow', 'min', 'max'] as const;
  const unary = ['neg', 'abs', 'sign', 'square', 'sqrt', 'exp', 'log'] as const;

  describe.each(['float32', 'float64'] as const)('changes no bit in %s', (precision) => {
    it.each(binary)('of %s', (op) => {
      for (const c of constants) {
        const plain = (...args: ExpressionNode[]): number[] => evaluate(raw(op, 'device', ...args), precision);
        expect(evaluate(x[op](c).node, precision), `x ${op} ${c}`).toEqual(plain(x.node, scalar(c).node));
        expect(evaluate(scalar(c)[op](x).node, precision), `${c} ${op} x`).toEqual(plain(scalar(c).node, x.node));
      }
      expect(evaluate(x[op](x).node, precision)).toEqual(evaluate(raw(op, 'device', x.node, x.node), precision));
    });

    it.each(unary)('of %s applied twice', (op) => {
      const once = raw(op, 'device', x.node);
      expect(evaluate(x[op]()[op]().node, precision)).toEqual(evaluate(raw(op, 'device', once), precision));
    });

    it('of constants, which fold in float64 and round where they meet a tensor', () => {
      for (const op of binary) {
        for (const a of constants) {
          for (const b of constants) {
            // The same scalar, computed by the host at each step instead of when the rule is traced.
            const unfolded = new Expression<'scalar'>(raw(op, 'host', scalar(a).node, scalar(b).node));
            expect(evaluate(x.mul(scalar(a)[op](b)).node, precision), `${a} ${op} ${b}`).toEqual(
              evaluate(x.mul(unfolded).node, precision),
            );
          }
        }
      }
    });
  });
});

describe('a matrix view', () => {
  it('has the outputs of the layer as rows, or as columns where they come last', () => {
    expect(matrixExtents([8, 3, 5, 5])).toEqual({ rows: 8, cols: 75 });
    expect(matrixExtents([5, 5, 3, 8], 'last')).toEqual({ rows: 75, cols: 8 });
    expect(matrixExtents([4, 6])).toEqual({ rows: 4, cols: 6 });
  });

  it('of a vector or a number has one column', () => {
    expect(matrixExtents([7])).toEqual({ rows: 7, cols: 1 });
    expect(matrixExtents([7], 'last')).toEqual({ rows: 7, cols: 1 });
    expect(matrixExtents([])).toEqual({ rows: 1, cols: 1 });
  });

  it('of nothing has nothing', () => {
    expect(matrixExtents([0, 3])).toEqual({ rows: 0, cols: 3 });
    expect(matrixExtents([0, 3], 'last')).toEqual({ rows: 0, cols: 3 });
    expect(matrixExtents([2, 0], 'last')).toEqual({ rows: 2, cols: 0 });
  });
});
