import { ceilDivideDims, isStatic, maxDims, negateDim, subtractDims, type Dim } from '../shape/dim.js';
import { MAX_CONTENTS } from '../shape/shape.js';
import type { InferContext, Operator } from './operator.js';

/** start, start + delta, … up to but without limit. */
export const Range: Operator = {
  op: 'Range',
  since: 11,
  shape: 'values',
  infer(ctx) {
    const known = [0, 1, 2].map((i) => ctx.contents(i)?.[0]);
    const [start, limit, delta] = known;
    if (start === undefined || limit === undefined || delta === undefined) {
      return [{ dtype: ctx.dtype(0), shape: [floatLength(ctx) ?? ctx.unknownDim(0)] }];
    }
    const length = rangeLength(start, limit, delta) ?? ctx.unknownDim(0);
    const followed = known.every((x) => typeof x === 'number') && isStatic(length) && length <= MAX_CONTENTS;
    const contents = followed ? Array.from({ length }, (_, i) => known[0] + i * known[2]) : undefined;
    return [{ dtype: ctx.dtype(0), shape: [length], contents }];
  },
  gradient: 'none',
};

function rangeLength(start: Dim, limit: Dim, delta: Dim): Dim | undefined {
  if (!isStatic(delta) || delta === 0) return undefined;
  const span = subtractDims(limit, start);
  return maxDims(0, delta > 0 ? ceilDivideDims(span, delta) : ceilDivideDims(negateDim(span), -delta));
}

function floatLength(ctx: InferContext): number | undefined {
  const [start, limit, delta] = [0, 1, 2].map((i) => ctx.constant(i)?.toNumbers()[0]);
  if (start === undefined || limit === undefined || delta === undefined) return undefined;
  return Math.max(0, Math.ceil((limit - start) / delta));
}
