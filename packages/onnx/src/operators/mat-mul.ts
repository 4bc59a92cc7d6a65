import type { Value } from '../graph/value.js';
import { differentDims } from '../shape/dim.js';
import { printShape, type Shape } from '../shape/shape.js';
import type { GradientContext, Operator } from './operator.js';

/**
 * Matrix product over the last two axes, the others broadcast; a vector on the left is one row, on the right one
 * column, and that axis is dropped from the result. dA = dY Bᵀ, dB = Aᵀ dY.
 */
export const MatMul: Operator = {
  op: 'MatMul',
  since: 13,
  infer(ctx) {
    const [a, b] = [asMatrices(ctx.shape(0), 'row'), asMatrices(ctx.shape(1), 'column')];
    if (ctx.rank(0) === 0 || ctx.rank(1) === 0) ctx.fail('it multiplies vectors and matrices, not single numbers');
    const [m, k, rows, n] = [...a.slice(-2), ...b.slice(-2)];
    if (differentDims(k, rows)) {
      ctx.fail(`inner dimensions do not fit: ${printShape(ctx.shape(0))} times ${printShape(ctx.shape(1))}`);
    }
    const shape = [
      ...ctx.broadcast(a.slice(0, -2), b.slice(0, -2)),
      ...(ctx.rank(0) === 1 ? [] : [m]),
      ...(ctx.rank(1) === 1 ? [] : [n]),
    ];
    return [{ dtype: ctx.commonDtype(2), shape }];
  },
  gradient(ctx) {
    const { e } = ctx;
    const [aRank, bRank] = [ctx.shape(ctx.input(0)).length, ctx.shape(ctx.input(1)).length];
    if (aRank === 2 && bRank === 2) {
      const [a, b, dy] = [ctx.input(0), ctx.input(1), ctx.grad()];
      return [
        ctx.needs(0) ? e.gemm(dy, b, { transB: true }) : undefined,
        ctx.needs(1) ? e.gemm(a, dy, { transA: true }) : undefined,
      ];
    }
    // A stack of matrices times one matrix of weights is one tall matrix times the weights.
    if (bRank === 2 && aRank > 2) return tallGradient(ctx);
    // Vectors become matrices, and so does the cotangent.
    const a = aRank === 1 ? e.unsqueeze(ctx.input(0), [0]) : ctx.input(0);
    const b = bRank === 1 ? e.unsqueeze(ctx.input(1), [1]) : ctx.input(1);
    const rowAdded = aRank === 1 ? e.unsqueeze(ctx.grad(), [bRank === 1 ? -1 : -2]) : ctx.grad();
    const dy = bRank === 1 ? e.unsqueeze(rowAdded, [-1]) : rowAdded;
    return [
      ctx.needs(0) ? sumToInput(ctx, 0, e.matMul(dy, e.matrixTranspose(b)), aRank === 1 ? -2 : undefined) : undefined,
      ctx.needs(1) ? sumToInput(ctx, 1, e.matMul(e.matrixTranspose(a), dy), bRank === 1 ? -1 : undefined) : undefined,
    ];
  },
};

function tallGradient(ctx: GradientContext): readonly (Value | undefined)[] {
  const { e } = ctx;
  const [a, b, dy] = [ctx.input(0), ctx.input(1), ctx.grad()];
  const tall = (x: Value) => {
    const width = ctx.shape(x)[ctx.shape(x).length - 1];
    return e.reshape(x, typeof width === 'number' && width > 0 ? [-1, width] : tallShape(ctx, x));
  };
  return [
    ctx.needs(0) ? e.matMul(dy, e.matrixTranspose(b)) : undefined,
    ctx.needs(1) ? e.assume(e.gemm(tall(a), tall(dy), { transA: true }), ctx.shape(b)) : undefined,
  ];
}

/** [-1, width] for a width known at run time only. */
function tallShape({ e }: GradientContext, x: Value): Value {
  return e.concat([e.int64([-1]), e.node('Shape', [x], { start: -1 })], 0);
}

/** Drops the axis that was added to a vector, and sums over broadcast batch axes. */
function sumToInput(ctx: GradientContext, index: number, cotangent: Value, added: number | undefined): Value {
  return ctx.unbroadcast(added === undefined ? cotangent : ctx.e.squeeze(cotangent, [added]), index);
}

function asMatrices(shape: Shape, vector: 'row' | 'column'): Shape {
  if (shape.length !== 1) return shape;
  return vector === 'row' ? [1, ...shape] : [...shape, 1];
}
