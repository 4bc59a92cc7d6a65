import { likeInput } from '../entry/composite.js';
import { dividedByCount } from '../entry/count.js';
import type { Operator } from '../entry/operator.js';
import { alsoOfBools, reduction, toAttaining } from '../entry/reduction.js';
import { DATA, SETTING } from '../entry/role.js';
import { addDims, maxDims, minDims, productOfDims } from '../shape/dim.js';

/** y = Σ x; y′ = 1. */
export const ReduceSum = reduction('ReduceSum', 13, ({ dy }) => dy, {
  total: (elements) => elements.reduce(addDims, 0),
});

/** y = Σ x / n with n the number of elements that fall into one; y′ = 1 / n. */
export const ReduceMean = reduction('ReduceMean', 18, ({ x, dy, ctx }) => dividedByCount(ctx, dy, x, ctx.output()), {
  followsHead: true,
});

/** y = max x; elements that share the maximum share the cotangent, as in PyTorch. */
export const ReduceMax = alsoOfBools(
  reduction('ReduceMax', 18, toAttaining, { total: (elements) => elements.slice(1).reduce(maxDims, elements[0]) }),
);

/** y = min x; elements that share the minimum share the cotangent, as in PyTorch. */
export const ReduceMin = alsoOfBools(
  reduction('ReduceMin', 18, toAttaining, { total: (elements) => elements.slice(1).reduce(minDims, elements[0]) }),
);

/**
 * y = Π x; y′ = the product of the others: y / x where there is no zero, the product of the rest for a single zero, and
 * 0 beside two.
 */
export const ReduceProd = reduction(
  'ReduceProd',
  18,
  ({ e, x, y, dy, ctx }) => {
    const zero = e.scalar(0, x);
    const isZero = e.equal(x, zero);
    const nonZero = e.where(isZero, e.scalar(1, x), x);
    const over = (op: string, value: typeof x) =>
      e.node(op, ctx.has(1) ? [value, ctx.input(1)] : [value], {
        keepdims: 1,
        noop_with_empty_axes: ctx.node.attributes.int('noop_with_empty_axes'),
      });
    const zeros = over('ReduceSum', e.cast(isZero, x.dtype ?? 'float32'));
    const single = e.equal(zeros, e.scalar(1, x));
    const others = e.where(single, over('ReduceProd', nonZero), zero);
    return e.mul(dy, e.where(isZero, others, e.div(y(), nonZero)));
  },
  { total: productOfDims },
);

/** y = Σ |x|; y′ = sign x. */
export const ReduceL1 = reduction('ReduceL1', 18, ({ e, x, dy }) => e.mul(dy, e.node('Sign', [x])));

/** y = √Σ x²; y′ = x / y, taken as 0 where y = 0. */
export const ReduceL2 = reduction('ReduceL2', 18, ({ e, x, y, dy }) => {
  const norm = y();
  const zero = e.scalar(0, norm);
  const isZero = e.equal(norm, zero);
  return e.mul(x, e.where(isZero, zero, e.div(dy, e.where(isZero, e.scalar(1, norm), norm))));
});

/** y = Σ x²; y′ = 2x. */
export const ReduceSumSquare = reduction('ReduceSumSquare', 18, ({ e, x, dy }) => e.mul(dy, e.scale(x, 2)));

/** y = ln Σ x; y′ = e⁻ʸ. */
export const ReduceLogSum = reduction('ReduceLogSum', 18, ({ e, y, dy }) => e.mul(dy, e.exp(e.neg(y()))));

/** y = ln Σ eˣ; y′ = eˣ⁻ʸ. */
export const ReduceLogSumExp = reduction('ReduceLogSumExp', 18, ({ e, x, y, dy }) => e.mul(dy, e.exp(e.sub(x, y()))));

/** Sums from the start (or the end, with `reverse`) up to each element, or up to the one before with `exclusive`. */
export const CumSum: Operator = {
  op: 'CumSum',
  since: 14,
  roles: [DATA, SETTING],
  infer: likeInput,
  /** x counts for all that comes after it: the same sum from the other end. */
  gradient(ctx) {
    const { attributes } = ctx.node;
    const reverse = 1 - attributes.int('reverse', 0);
    return [ctx.e.node('CumSum', [ctx.grad(), ctx.input(1)], { exclusive: attributes.int('exclusive'), reverse })];
  },
};

/** Where the largest element along an axis is. */
export const ArgMax = argReduction('ArgMax');

/** Where the smallest element along an axis is. */
export const ArgMin = argReduction('ArgMin');

/** The position of an extreme element along one axis. */
function argReduction(op: string): Operator {
  return {
    op,
    since: 13,
    infer(ctx) {
      const { attributes } = ctx.node;
      const shape = ctx.shape(0);
      const axis = ctx.axis(attributes.int('axis', 0), shape.length);
      const kept = attributes.int('keepdims', 1) === 1;
      return [{ dtype: 'int64', shape: kept ? shape.with(axis, 1) : shape.toSpliced(axis, 1) }];
    },
    gradient: 'none',
  };
}
