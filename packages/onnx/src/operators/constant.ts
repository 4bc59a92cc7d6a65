import type { InferContext, Operator } from '../entry/operator.js';
import { shapeFromInput } from '../entry/shape-input.js';
import { constantTensor } from '../graph/constant.js';
import { tensorContents } from '../graph/value.js';
import { requireDType } from '../model/dtype.js';
import { Tensor } from '../model/tensor.js';
import { ceilDivideDims, type Dim, isStatic, maxDims, negateDim, subtractDims } from '../shape/dim.js';
import { MAX_CONTENTS } from '../shape/shape.js';

export const Constant: Operator = {
  op: 'Constant',
  since: 13,
  infer(ctx) {
    const { attributes } = ctx.node;
    const tensor = constantTensor(ctx.node);
    if (tensor !== undefined) return [{ dtype: tensor.dtype, shape: tensor.dims, contents: tensorContents(tensor) }];
    if (attributes.has('value_string')) return [{ dtype: 'string', shape: [] }];
    const strings = attributes.strings('value_strings');
    if (strings !== undefined) return [{ dtype: 'string', shape: [strings.length] }];
    return ctx.fail('it holds no dense value; store it as a dense tensor');
  },
  gradient: 'none',
};

/** A tensor of a computed shape filled with one value. */
export const ConstantOfShape: Operator = {
  op: 'ConstantOfShape',
  since: 9,
  shape: 'values',
  infer(ctx) {
    const value = ctx.node.attributes.tensor('value') ?? Tensor.scalar('float32', 0);
    const shape = shapeFromInput(ctx, 0);
    const negative = ctx.contents(0)?.find((dim) => isStatic(dim) && dim < 0);
    if (negative !== undefined) ctx.fail(`its shape asks for ${String(negative)} elements along an axis`);
    const fill = tensorContents(value)?.at(0);
    const length = shape.length === 0 ? 1 : shape[0];
    const followed = fill !== undefined && shape.length <= 1 && isStatic(length) && length <= MAX_CONTENTS;
    return [{ dtype: value.dtype, shape, contents: followed ? Array.from({ length }, () => fill) : undefined }];
  },
  gradient: 'none',
};

/** Ones on one diagonal of a matrix of the shape of the input, zeros elsewhere. */
export const EyeLike: Operator = {
  op: 'EyeLike',
  since: 9,
  infer(ctx) {
    const code = ctx.node.attributes.int('dtype');
    return [{ dtype: code === undefined ? ctx.dtype(0) : requireDType(code, ctx.node.label), shape: ctx.shape(0) }];
  },
  gradient: 'zero',
};

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
