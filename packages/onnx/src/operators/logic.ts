import { broadcastContents } from '../entry/elementwise/contents.js';
import { predicate } from '../entry/elementwise/predicate.js';
import { broadcasting } from '../entry/older-form.js';
import type { Operator } from '../entry/operator.js';
import { FILLED, role } from '../entry/role.js';

export const And = predicate('And', 7, (a, b) => a !== 0 && b !== 0, {
  early: [broadcasting],
});

export const Or = predicate('Or', 7, (a, b) => a !== 0 || b !== 0, {
  early: [broadcasting],
});

export const Xor = predicate('Xor', 7, (a, b) => (a !== 0) !== (b !== 0), {
  early: [broadcasting],
});

export const Not = predicate('Not', 1, (a) => a === 0);

/** y = a where the condition holds, b elsewhere; the cotangent goes to the side that was chosen. */
export const Where: Operator = {
  op: 'Where',
  since: 16,
  roles: [role('aside', 'a condition'), FILLED],
  infer(ctx) {
    const shape = ctx.broadcast(ctx.shape(0), ctx.shape(1), ctx.shape(2));
    const inputs = [ctx.contents(0), ctx.contents(1), ctx.contents(2)];
    const contents = broadcastContents(inputs, shape, (condition, a, b) => (condition === 0 ? b : a));
    return [{ dtype: ctx.dtype(1), shape, contents }];
  },
  gradient(ctx) {
    const { e } = ctx;
    const [condition, dy] = [ctx.input(0), ctx.grad()];
    const zero = e.scalar(0, dy);
    return [
      undefined,
      ctx.needs(1) ? ctx.unbroadcast(e.where(condition, dy, zero), 1) : undefined,
      ctx.needs(2) ? ctx.unbroadcast(e.where(condition, zero, dy), 2) : undefined,
    ];
  },
};

/** Bits that are set in both. */
export const BitwiseAnd = bitwise('BitwiseAnd', 18);

/** Bits that are set in one or both. */
export const BitwiseOr = bitwise('BitwiseOr', 18);

/** Bits that are set in one only. */
export const BitwiseXor = bitwise('BitwiseXor', 18);

/** Bits that are not set. */
export const BitwiseNot = bitwise('BitwiseNot', 18);

/** Bits shifted left or right. */
export const BitShift = bitwise('BitShift', 11);

/** An operator on the bits of integers, with broadcasting; it has no gradient. */
function bitwise(op: string, since: number): Operator {
  return {
    op,
    since,
    infer(ctx) {
      const indices = Array.from({ length: ctx.inputCount }, (_, i) => i);
      return [{ dtype: ctx.dtype(0), shape: ctx.broadcast(...indices.map((i) => ctx.shape(i))) }];
    },
    gradient: 'none',
  };
}
