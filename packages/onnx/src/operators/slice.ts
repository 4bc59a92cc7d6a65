import { intsToInput } from '../entry/older-form.js';
import type { GradientContext, InferContext, Operator } from '../entry/operator.js';
import { DATA, SETTING } from '../entry/role.js';
import type { Emitter } from '../graph/emitter.js';
import type { Contents, Value } from '../graph/value.js';
import { Tensor } from '../model/tensor.js';
import {
  addDims,
  ceilDivideDims,
  type Dim,
  isAtLeast,
  isStatic,
  lowerBound,
  maxDims,
  minDims,
  multiplyDims,
  negateDim,
  subtractDims,
} from '../shape/dim.js';
import { isStaticShape, normalizeAxis, type Shape } from '../shape/shape.js';

/** Every |step|-th element of a range along some axes; a negative step walks backwards. */
export const Slice: Operator = {
  op: 'Slice',
  since: 13,
  roles: [DATA, SETTING],
  moves: true,
  shape: 'values',
  infer(ctx) {
    const shape = ctx.shape(0);
    const ranges = readRanges(ctx, shape);
    if (ranges === undefined) return [{ dtype: ctx.dtype(0), shape: shape.map(() => ctx.unknownDim(0)) }];
    const byAxis = new Map(ranges.map((range) => [range.axis, range]));
    return [
      {
        dtype: ctx.dtype(0),
        shape: shape.map((dim, axis) => {
          const range = byAxis.get(axis);
          return range === undefined ? dim : (range.taken?.length ?? ctx.unknownDim(0));
        }),
        contents: slicedContents(ctx, byAxis.get(0)),
        flatContents: slicedMatrix(ctx, shape, byAxis),
      },
    ];
  },
  gradient(ctx) {
    const ranges = readRanges(ctx, ctx.shape(ctx.input(0)));
    const dx = (ranges && spread(ctx, ranges)) ?? scatter(ctx);
    return [ctx.e.assume(dx, ctx.shape(ctx.input(0)))];
  },
  upgrade(ctx) {
    if (ctx.opset >= 10) return undefined;
    for (const [i, name] of ['starts', 'ends', 'axes'].entries()) intsToInput(ctx, name, i + 1);
    return undefined;
  },
};

/** What a slice takes of one axis: `length` elements, beginning at `first`. */
interface Taken {
  readonly first: Dim;
  readonly length: Dim;
}

interface Range {
  readonly axis: number;
  readonly step: number;
  /** Undefined when the bounds are known at run time only. */
  readonly taken: Taken | undefined;
}

/** The ranges of a slice; undefined when the axes or steps are known at run time only. */
function readRanges(ctx: Pick<InferContext, 'has' | 'input' | 'fail'>, shape: Shape): readonly Range[] | undefined {
  const [starts, ends, listed, stepped] = [1, 2, 3, 4].map((i) => (ctx.has(i) ? ctx.input(i).contents : undefined));
  const count = starts?.length ?? ends?.length ?? staticLength(ctx.input(1)) ?? staticLength(ctx.input(2));
  const axes = ctx.has(3) ? listed : Array.from({ length: count ?? 0 }, (_, i) => i);
  const steps = ctx.has(4) ? stepped : axes?.map(() => 1);
  if (count === undefined || axes?.every(isStatic) !== true || steps?.every(isStatic) !== true) return undefined;
  return axes.map((given, i): Range => {
    const axis =
      normalizeAxis(given, shape.length) ?? ctx.fail(`axis ${given} is outside a tensor of rank ${shape.length}`);
    const step = steps[i];
    if (step === 0) ctx.fail('a step of 0 leads nowhere');
    const taken = starts && ends && take(starts[i], ends[i], step, shape[axis]);
    return { axis, step, taken };
  });
}

function staticLength({ shape }: Value): number | undefined {
  const length = shape?.[0];
  return length !== undefined && isStatic(length) ? length : undefined;
}

/** No dimension is this long, so a bound this large is clamped whatever the dimension is. */
const BEYOND = 2 ** 31 - 1;

/** Resolves the bounds of one axis of length `dim`, as the ONNX specification clamps them. */
function take(start: Dim, end: Dim, step: number, dim: Dim): Taken | undefined {
  const from = countFromFront(start, dim);
  const to = isOpenEnd(end) ? (step > 0 ? dim : -1) : countFromFront(end, dim);
  if (from === undefined || to === undefined) return undefined;
  const last = subtractDims(dim, 1);
  if (step > 0) {
    const first = minDims(maxDims(from, 0), dim);
    const span = subtractDims(minDims(maxDims(to, 0), dim), first);
    return { first, length: maxDims(ceilDivideDims(span, step), 0) };
  }
  const first = minDims(maxDims(from, 0), last);
  const span = subtractDims(first, minDims(maxDims(to, -1), last));
  return { first, length: maxDims(ceilDivideDims(span, -step), 0) };
}

/** The largest int32 and int64 stand for no bound at all, in either direction (so ONNX Runtime reads them). */
function isOpenEnd(end: Dim): boolean {
  return end === 2 ** 31 - 1 || (isStatic(end) && end >= 2 ** 63 - 1);
}

/** A bound as an index from the front, not yet clamped; undefined when its sign is not known. */
function countFromFront(bound: Dim, dim: Dim): Dim | undefined {
  if (isStatic(bound) && bound >= BEYOND) return dim;
  if (isStatic(bound) && bound <= -BEYOND) return -1;
  if (isAtLeast(bound, 0)) return bound;
  return lowerBound(negateDim(bound)) > 0 ? addDims(bound, dim) : undefined;
}

/** A slice of a known vector. */
function slicedContents(ctx: InferContext, range: Range | undefined): readonly Dim[] | undefined {
  const contents = ctx.contents(0);
  if (contents === undefined || ctx.rank(0) !== 1 || range === undefined) return contents;
  const { step, taken } = range;
  if (taken === undefined || !isStatic(taken.first) || !isStatic(taken.length)) return undefined;
  const { first, length } = taken;
  return Array.from({ length }, (_, i) => contents[first + i * step]);
}

/** A slice of a known tensor of two axes and more. */
function slicedMatrix(ctx: InferContext, shape: Shape, ranges: ReadonlyMap<number, Range>): Contents | undefined {
  const elements = ctx.flatContents(0);
  if (elements === undefined || shape.length < 2 || !isStaticShape(shape)) return undefined;
  let places: readonly number[] = [0];
  for (const [axis, size] of shape.entries()) {
    const { step, taken } = ranges.get(axis) ?? { step: 1, taken: { first: 0, length: size } };
    if (taken === undefined || !isStatic(taken.first) || !isStatic(taken.length)) return undefined;
    const { first, length } = taken;
    places = places.flatMap((place) => Array.from({ length }, (_, i) => place * size + first + i * step));
  }
  return places.map((place) => elements[place]);
}

/**
 * dy put back between zeros: along each axis turn it around for a negative step, put |step| − 1 zeros behind each
 * element, then pad at both ends (cutting off what the zeros have too many). Undefined when neither pad of an axis is known.
 */
function spread(ctx: GradientContext, ranges: readonly Range[]): Value | undefined {
  const { e } = ctx;
  const x = ctx.input(0);
  const shape = ctx.shape(x);
  const before = shape.map((): Dim => 0);
  const after = shape.map((): Dim => 0);
  for (const { axis, step, taken } of ranges) {
    if (taken === undefined) return undefined;
    const { first, length } = taken;
    if (length === 0) return e.zerosLike(x);
    before[axis] = step > 0 ? first : addDims(first, multiplyDims(subtractDims(length, 1), step));
    after[axis] = subtractDims(subtractDims(shape[axis], before[axis]), multiplyDims(length, Math.abs(step)));
  }
  if (before.some((pad, i) => !isStatic(pad) && !isStatic(after[i]))) return undefined;
  let dy = ctx.grad();
  for (const { axis, step } of ranges) {
    if (step < 0) dy = e.slice(dy, { starts: [-1], ends: [-BEYOND], axes: [axis], steps: [-1] });
    if (Math.abs(step) > 1) dy = dilate(e, dy, axis, Math.abs(step));
  }
  const pads = [...before, ...after];
  if (pads.every((pad) => pad === 0)) return dy;
  return e.node('Pad', [dy, pads.every(isStatic) ? e.int64(pads) : missingPads(e, x, dy, before, after)]);
}

/** The pads that take `dy` to the shape of `x`, where one side of each axis is known beforehand. */
function missingPads(e: Emitter, x: Value, dy: Value, before: readonly Dim[], after: readonly Dim[]): Value {
  const total = e.sub(e.shapeOf(x), e.shapeOf(dy));
  const known = (pads: readonly Dim[]) => e.int64(pads.map((pad) => (isStatic(pad) ? pad : 0)));
  const isBeforeKnown = e.constant(
    Tensor.of(
      'bool',
      [before.length],
      Uint8Array.from(before, (pad) => Number(isStatic(pad))),
    ),
  );
  const front = e.where(isBeforeKnown, known(before), e.sub(total, known(after)));
  return e.concat([front, e.sub(total, front)], 0);
}

/** Puts step − 1 zeros behind each element along one axis. */
function dilate(e: Emitter, x: Value, axis: number, step: number): Value {
  const rank = x.shape?.length ?? 0;
  const column = e.unsqueeze(x, [axis + 1]);
  const pads = Array.from({ length: 2 * (rank + 1) }, (_, i) => (i === rank + 1 + axis + 1 ? step - 1 : 0));
  const padded = e.node('Pad', [column, e.int64(pads)]);
  // [.., n, step, ..] to [.., n·step, ..], whatever the other dimensions are.
  const shape = e.shapeOf(x);
  const factors = e.int64(Array.from({ length: rank }, (_, i) => (i === axis ? step : 1)));
  return e.node('Reshape', [padded, e.mul(shape, factors)], { allowzero: 1 });
}

/**
 * For bounds known at run time only: slicing the numbers 0, 1, … of an axis in the same way gives the places that were
 * taken, and dy is written there into zeros, one axis after the other.
 */
function scatter(ctx: GradientContext): Value {
  const { e } = ctx;
  const x = ctx.input(0);
  const rank = ctx.shape(x).length;
  const starts = ctx.input(1);
  const listed = ctx.has(3) ? ctx.input(3).contents : undefined;
  const count = staticLength(starts);
  if (count === undefined || (ctx.has(3) && listed?.every(isStatic) !== true)) {
    return ctx.fail('the axes it slices are known at run time only; export the model with constant axes');
  }
  let dy = ctx.grad();
  const shapeOfX = e.shapeOf(x);
  for (let i = 0; i < count; i++) {
    const axis = Number(listed?.[i] ?? i);
    const place = axis < 0 ? axis + rank : axis;
    const element = (input: number) => e.slice(ctx.input(input), { starts: [i], ends: [i + 1], axes: [0] });
    const length = e.slice(shapeOfX, { starts: [place], ends: [place + 1], axes: [0] });
    const zero = e.scalar(0, 'int64');
    const numbers = e.node('Range', [zero, e.squeeze(length, [0]), e.scalar(1, 'int64')]);
    const taken = e.node('Slice', [numbers, element(1), element(2), e.int64([0]), ...(ctx.has(4) ? [element(4)] : [])]);
    // Zeros with this axis as long as in x and the others as in dy.
    const shapeOfDy = e.shapeOf(dy);
    const around = [
      ...(place > 0 ? [e.slice(shapeOfDy, { starts: [0], ends: [place], axes: [0] })] : []),
      length,
      ...(place + 1 < rank ? [e.slice(shapeOfDy, { starts: [place + 1], ends: [rank], axes: [0] })] : []),
    ];
    const zeros = e.node('Expand', [e.scalar(0, dy), e.concat(around, 0)]);
    const outer = Array.from({ length: rank }, (_, j) => j).filter((j) => j !== place);
    const indices = e.node('Expand', [e.unsqueeze(taken, outer), shapeOfDy]);
    // No place is taken twice, so nothing needs to be added up.
    dy = e.node('ScatterElements', [zeros, indices, dy], { axis: place });
  }
  return dy;
}
