import { describe, expect, it } from 'vitest';
import { interpret, type Precision } from '../execution/interpreter.js';
import { evaluateScalars } from '../execution/scalars.js';
import { buildProgram } from '../program/program.js';
import {
  Expression,
  input,
  mean,
  movingAverage,
  norm,
  oneMinus,
  scalar,
  sum,
  where,
  type ExpressionNode,
} from './expression.js';
import { operation, operations, type OperationName } from './operations.js';

const x = input('param', 'tensor');
const y = input('grad', 'tensor');
const step = input('step', 'scalar');

describe('an expression', () => {
  it('records the operation and its operands in the order written', () => {
    expect(x.mul(step).sub(y).node).toEqual({
      op: 'sub',
      kind: 'tensor',
      args: [{ op: 'mul', kind: 'tensor', args: [x.node, step.node] }, y.node],
    });
  });

  it('takes numbers as constants', () => {
    expect(x.add(0.5).node).toEqual({
      op: 'add',
      kind: 'tensor',
      args: [x.node, { op: 'constant', kind: 'scalar', value: 0.5 }],
    });
  });

  it('is a scalar when made of scalars alone, a statistic once a reduction is in it, a tensor with any tensor', () => {
    expect(step.sqrt().div(3).node.kind).toBe('scalar');
    expect(sum(x).node.kind).toBe('statistic');
    expect(step.mul(norm(x)).add(1).node.kind).toBe('statistic');
    expect(mean(x).mul(y).node.kind).toBe('tensor');
    expect(where(step.less(3), 1, mean(x)).node.kind).toBe('statistic');
    expect(where(x.less(0), 1, 2).node.kind).toBe('tensor');
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
      equal: x.equal(y).node,
      less: x.less(y).node,
      lessOrEqual: x.lessOrEqual(y).node,
      greater: x.greater(y).node,
      greaterOrEqual: x.greaterOrEqual(y).node,
      where: where(x.less(y), x, y).node,
    };
    for (const [op, node] of Object.entries(built)) {
      expect(node).toMatchObject({ op, args: { length: operation(op as OperationName).arity } });
    }
  });

  it('spells clip as the larger of the lower bound, then the smaller of the upper', () => {
    expect(x.clip(step, 1).node).toEqual(x.max(step).min(1).node);
  });

  it('spells the moving average as average·β + value·(1 − β)', () => {
    expect(movingAverage(x, y, step).node).toEqual(x.mul(step).add(y.mul(oneMinus(step))).node);
    expect(oneMinus(step).node).toMatchObject({ op: 'sub', args: [{ value: 1 }, step.node] });
  });

  it('refuses to reduce what is already one number', () => {
    expect(() => sum(norm(x))).toThrow('sum reduces a tensor, got a statistic');
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
  it.each(simplified)('reduces %s', (_, expression, expected) => {
    expect(expression.node).toEqual(
      typeof expected === 'number' ? { op: 'constant', kind: 'scalar', value: expected } : expected,
    );
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
  ];
  it.each(kept)('keeps %s', (_, expression, op) => {
    expect(expression.node.op).toBe(op);
  });

  // Every operation on every pair of special values, as built by the methods (simplified) and as a raw node.
  const special = [0, -0, 1, -1, 0.1, 2, -3.5, 1e-45, 1.5e-39, 3e38, Infinity, -Infinity, NaN];
  const evaluate = (node: ExpressionNode, precision: Precision): number[] => {
    const program = buildProgram('test', [], { param: node, slots: [] });
    const values = precision === 'float32' ? Float32Array.from(special) : Float64Array.from(special);
    const scalars = evaluateScalars(program, { step: 1, hyper: {}, initial: {} });
    return [...interpret(program, { param: values, grad: values, slots: [] }, scalars, precision).param];
  };
  const constant = (value: number): ExpressionNode => scalar(value).node;
  const binary = ['add', 'sub', 'mul', 'div', 'pow', 'min', 'max'] as const;
  const unary = ['neg', 'abs', 'sign', 'square', 'sqrt', 'exp', 'log'] as const;

  describe.each(['float32', 'float64'] as const)('changes no bit in %s', (precision) => {
    it.each(binary)('of %s', (op) => {
      for (const c of special) {
        const raw = (...args: ExpressionNode[]): number[] => evaluate({ op, kind: 'tensor', args }, precision);
        expect(evaluate(x[op](c).node, precision), `x ${op} ${c}`).toEqual(raw(x.node, constant(c)));
        expect(evaluate(scalar(c)[op](x).node, precision), `${c} ${op} x`).toEqual(raw(constant(c), x.node));
      }
      expect(evaluate(x[op](x).node, precision)).toEqual(
        evaluate({ op, kind: 'tensor', args: [x.node, x.node] }, precision),
      );
    });

    it.each(unary)('of %s applied twice', (op) => {
      const once: ExpressionNode = { op, kind: 'tensor', args: [x.node] };
      expect(evaluate(x[op]()[op]().node, precision)).toEqual(
        evaluate({ op, kind: 'tensor', args: [once] }, precision),
      );
    });

    it('of constants, which fold in float64 and round where they meet a tensor', () => {
      for (const op of binary) {
        for (const a of special) {
          for (const b of special) {
            // The same scalar, computed by the host at each step instead of when the rule is traced.
            const unfolded: ExpressionNode = { op, kind: 'scalar', args: [constant(a), constant(b)] };
            expect(evaluate(x.mul(scalar(a)[op](b)).node, precision), `${a} ${op} ${b}`).toEqual(
              evaluate(x.mul(new Expression<'scalar'>(unfolded)).node, precision),
            );
          }
        }
      }
    });
  });
});

describe('the table of operations', () => {
  const comparisons: [OperationName, string][] = [
    ['equal', '010'],
    ['less', '100'],
    ['lessOrEqual', '110'],
    ['greater', '001'],
    ['greaterOrEqual', '011'],
  ];
  it.each(comparisons)('%s compares smaller, equal and larger values, and NaN with nothing', (op, outcomes) => {
    const { evaluate } = operation(op);
    expect([evaluate(1, 2, NaN), evaluate(2, 2, NaN), evaluate(3, 2, NaN)].join('')).toBe(outcomes);
    expect(evaluate(NaN, 2, NaN) + evaluate(2, NaN, NaN) + evaluate(NaN, NaN, NaN)).toBe(0);
  });

  it.each(['min', 'max'] as const)('%s is NaN if either operand is', (op) => {
    expect(operation(op).evaluate(NaN, 1, NaN)).toBeNaN();
    expect(operation(op).evaluate(1, NaN, NaN)).toBeNaN();
  });

  it('where takes the third operand for 0 and the second otherwise', () => {
    expect(operation('where').evaluate(1, 2, 3)).toBe(2);
    expect(operation('where').evaluate(0, 2, 3)).toBe(3);
  });

  it('marks exactly the comparisons as such', () => {
    const marked = Object.entries(operations).filter(([op]) => operation(op as OperationName).comparison === true);
    expect(marked.map(([op]) => op)).toEqual(comparisons.map(([op]) => op));
  });
});
