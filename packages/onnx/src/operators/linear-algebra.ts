import { dropping } from '../entry/older-form.js';
import type { GradientContext, Operator } from '../entry/operator.js';
import { BIAS, FACTOR } from '../entry/role.js';
import type { Value } from '../graph/value.js';
import { Tensor } from '../model/tensor.js';
import { isStatic } from '../shape/dim.js';
import { differentShapes, printShape, type Shape } from '../shape/shape.js';

/** y = α A′B′ + β C with A′, B′ the matrices or their transposes, and C broadcast to y. */
export const Gemm: Operator = {
  op: 'Gemm',
  since: 13,
  roles: [FACTOR, FACTOR, BIAS],
  early: [dropping(7, 'broadcast')],
  infer(ctx) {
    const { attributes } = ctx.node;
    const [a, b] = [ctx.shape(0), ctx.shape(1)];
    if (a.length !== 2 || b.length !== 2) ctx.fail(`it multiplies matrices, got ${printShape(a)} and ${printShape(b)}`);
    const [m, k] = attributes.int('transA', 0) === 1 ? [a[1], a[0]] : a;
    const [rows, n] = attributes.int('transB', 0) === 1 ? [b[1], b[0]] : b;
    if (ctx.same(k, rows) === undefined) ctx.fail(`inner dimensions ${String(k)} and ${String(rows)} do not fit`);
    const shape = [m, n];
    const bias = ctx.has(2) ? ctx.input(2).shape : undefined;
    if (bias !== undefined && differentShapes(ctx.broadcast(bias, shape), shape)) {
      ctx.fail(`its bias of shape ${printShape(bias)} does not broadcast to ${printShape(shape)}`);
    }
    return [{ dtype: ctx.commonDtype(3), shape }];
  },
  gradient(ctx) {
    const { e, node } = ctx;
    const [a, b, dy] = [ctx.input(0), ctx.input(1), ctx.grad()];
    const alpha = node.attributes.float('alpha', 1);
    const transA = node.attributes.int('transA', 0) === 1;
    const transB = node.attributes.int('transB', 0) === 1;
    const da = () =>
      transA ? e.gemm(b, dy, { transA: transB, transB: true, alpha }) : e.gemm(dy, b, { transB: !transB, alpha });
    const db = () =>
      transB ? e.gemm(dy, a, { transA: true, transB: transA, alpha }) : e.gemm(a, dy, { transA: !transA, alpha });
    return [
      ctx.needs(0) ? da() : undefined,
      ctx.needs(1) ? db() : undefined,
      ctx.needs(2) ? e.scale(ctx.unbroadcast(dy, 2), node.attributes.float('beta', 1)) : undefined,
    ];
  },
};

/**
 * Matrix product over the last two axes, the others broadcast; a vector on the left is one row, on the right one
 * column, and that axis is dropped from the result. dA = dY Bᵀ, dB = Aᵀ dY.
 */
export const MatMul: Operator = {
  op: 'MatMul',
  since: 13,
  roles: [FACTOR],
  infer(ctx) {
    const [a, b] = [asMatrices(ctx.shape(0), 'row'), asMatrices(ctx.shape(1), 'column')];
    if (ctx.rank(0) === 0 || ctx.rank(1) === 0) ctx.fail('it multiplies vectors and matrices, not single numbers');
    const [m, k, rows, n] = [...a.slice(-2), ...b.slice(-2)];
    if (ctx.same(k, rows) === undefined) {
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

/**
 * The determinant of each matrix. Its derivatives are the cofactors, which singular matrices have too: the determinants of
 * what is left without one row and one column, of size − 1.
 */
export const Det: Operator = {
  op: 'Det',
  since: 11,
  infer: (ctx) => [{ dtype: ctx.dtype(0), shape: ctx.shape(0).slice(0, -2) }],
  gradient(ctx) {
    const { e } = ctx;
    const [x, dy] = [ctx.input(0), ctx.grad()];
    const shape = ctx.shape(x);
    const rank = shape.length;
    const size = shape[rank - 1];
    if (!isStatic(size)) return ctx.fail('the size of its matrices is free; fix the sizes of free dimensions');
    const each = e.unsqueeze(dy, [-1, -2]);
    if (size <= 1) return [e.expandLike(each, x)];
    const numbers = numbersTo(size);
    const others = Tensor.of(
      'int64',
      [size, size - 1],
      BigInt64Array.from(
        numbers.flatMap((left) => numbers.filter((i) => i !== left)),
        BigInt,
      ),
    );
    // [… batch, row left out, column left out, rows, columns]
    const rows = e.gather(x, e.constant(others, 'others'), rank - 2);
    const minors = e.gather(rows, e.constant(others, 'others'), rank);
    const batch = numbersTo(rank - 2);
    const order = [...batch, rank - 2, rank, rank - 1, rank + 1];
    const signs = numbers.flatMap((i) => numbers.map((j) => ((i + j) % 2 === 0 ? 1 : -1)));
    const dtype = x.dtype === 'float64' ? 'float64' : 'float32';
    const data = dtype === 'float64' ? Float64Array.from(signs) : Float32Array.from(signs);
    const alternating = e.constant(Tensor.of(dtype, [size, size], data), 'signs');
    return [e.mul(each, e.mul(e.node('Det', [e.transpose(minors, order)]), alternating))];
  },
};

function numbersTo(end: number): number[] {
  return Array.from({ length: end }, (_, i) => i);
}
