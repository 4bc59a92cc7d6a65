import { differentDims } from '../shape/dim.js';
import { printShape } from '../shape/shape.js';
import type { Operator } from './operator.js';

/** y = α A′B′ + β C with A′, B′ the matrices or their transposes, and C broadcast to y. */
export const Gemm: Operator = {
  op: 'Gemm',
  since: 13,
  infer(ctx) {
    const { attributes } = ctx.node;
    const [a, b] = [ctx.shape(0), ctx.shape(1)];
    if (a.length !== 2 || b.length !== 2) ctx.fail(`it multiplies matrices, got ${printShape(a)} and ${printShape(b)}`);
    const [m, k] = attributes.int('transA', 0) === 1 ? [a[1], a[0]] : a;
    const [rows, n] = attributes.int('transB', 0) === 1 ? [b[1], b[0]] : b;
    if (differentDims(k, rows)) ctx.fail(`inner dimensions ${String(k)} and ${String(rows)} do not fit`);
    return [{ dtype: ctx.commonDtype(3), shape: [m, n] }];
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
