import { composite } from '../entry/composite.js';
import type { DefinitionContext } from '../entry/operator.js';
import type { Value } from '../graph/value.js';
import { Tensor } from '../model/tensor.js';
import { isStatic, productOfDims } from '../shape/dim.js';
import type { Shape } from '../shape/shape.js';

/** How a coordinate is made of neighbouring pixels. */
interface Taps {
  /** The pixels, counted from the one at or before the coordinate. */
  readonly offsets: readonly number[];
  /** Row p, column i: the coefficient of tᵖ in the weight of pixel i, at a distance t from the one before. */
  readonly weights: readonly (readonly number[])[];
}

/** Of the cubic convolution kernel of Keys (1981); −0.75 in the ONNX specification, as in PyTorch. */
const A = -0.75;

const TAPS: Readonly<Record<string, Taps>> = {
  nearest: { offsets: [0], weights: [[1]] },
  bilinear: {
    offsets: [0, 1],
    weights: [
      [1, 0],
      [-1, 1],
    ],
  },
  bicubic: {
    offsets: [-1, 0, 1, 2],
    weights: [
      [0, 1, 0, 0],
      [A, 0, -A, 0],
      [-2 * A, -A - 3, 2 * A + 3, A],
      [A, A + 2, -A - 2, -A],
    ],
  },
};

/**
 * Images [N, C, …lengths] read at the places of a grid [N, …, axes], whose coordinates go from −1 to 1 over an axis, the last
 * axis first. Its definition picks the pixels around each place and adds them by weights; at kinks it has the derivatives of
 * PyTorch: none where a place lies on or outside the border and is moved there, that of the next pixel on a pixel.
 */
export const GridSample = composite({
  op: 'GridSample',
  since: 16,
  infer(ctx) {
    const [shape, grid] = [ctx.shape(0), ctx.shape(1)];
    if (shape.length < 3 || grid.length !== shape.length) {
      ctx.fail(`it reads images of rank 3 or more at a grid of the same rank, got ${shape.length} and ${grid.length}`);
    }
    return [{ dtype: ctx.dtype(0), shape: [...shape.slice(0, 2), ...grid.slice(1, -1)] }];
  },
  define(ctx) {
    const { e, node } = ctx;
    const [x, grid] = [ctx.input(0), ctx.input(1)];
    const [shape, places] = [ctx.shape(x), ctx.shape(grid)];
    const axes = shape.length - 2;
    const mode = node.attributes.string('mode', 'bilinear');
    const taps =
      (Object.hasOwn(TAPS, mode) ? TAPS[mode] : undefined) ?? ctx.fail(`its mode '${mode}' is not supported`);
    const border = borderOf(ctx);
    const known = (dims: Shape) => (dims.every(isStatic) ? productOfDims(dims) : -1);
    const count = known(places.slice(1, -1));

    // Everything of shape [N, places, axes, pixels], the last axis of the image being the first.
    const place = border.place(e.unsqueeze(e.reshape(grid, [0, Number(count), axes]), [3]));
    // The pixels of a cubic are moved into the image one by one, else the place is.
    const single = mode === 'bicubic';
    const exact = mode === 'nearest' ? e.node('Round', [place]) : place;
    const coordinate = single ? exact : border.inside(exact);
    const before = e.node('Floor', [coordinate]);
    const away = e.add(before, constant(ctx, [taps.offsets.length], taps.offsets));
    const pixel = border.clip(single ? border.inside(away) : away);
    const weight = e.expandLike(weightsOf(ctx, taps, e.sub(coordinate, before)), away);
    const counted = border.padding === 'zeros' ? e.mask(e.equal(pixel, away), weight) : weight;

    // A pixel and a weight for every choice of one pixel an axis: [N, places, choices].
    const choices = taps.offsets.length ** axes;
    const combined = (values: Value, combine: (a: Value, b: Value) => Value) =>
      e
        .nodes('Split', [values], { axis: 2, num_outputs: axes }, axes)
        .map((part) => e.squeeze(part, [2]))
        .reduce((inner, outer, i) =>
          e.reshape(combine(e.unsqueeze(outer, [3]), e.unsqueeze(inner, [2])), [0, 0, taps.offsets.length ** (i + 1)]),
        );
    const position = combined(e.mul(e.cast(pixel, 'int64'), border.strides), (a, b) => e.add(a, b));
    const factor = combined(counted, (a, b) => e.mul(a, b));
    const pixels = e.transpose(e.reshape(x, [0, 0, Number(known(shape.slice(2)))]), [0, 2, 1]);
    const picked = e.node('GatherND', [pixels, e.unsqueeze(position, [3])], { batch_dims: 1 });
    e.assume(picked, [shape[0], ctx.shape(position)[1], choices, shape[1]]);
    const sums = e.squeeze(e.matMul(e.unsqueeze(factor, [2]), picked), [2]);

    const output = [...shape.slice(0, 2), ...places.slice(1, -1)];
    const lengths = e.concat([e.node('Shape', [x], { end: 2 }), e.node('Shape', [grid], { start: 1, end: -1 })], 0);
    const target = output.every(isStatic) ? e.int64(output) : lengths;
    return [e.assume(e.reshape(e.transpose(sums, [0, 2, 1]), target), output)];
  },
  beyondOpset: ({ inputs: [x] }) => x?.shape?.length !== 4,
  upgrade({ node, opset }) {
    if (opset < 20) return undefined;
    const mode = node.attributes.string('mode', 'linear');
    const before = { linear: 'bilinear', cubic: 'bicubic' }[mode];
    if (before !== undefined) node.attributes.set('mode', before);
    return undefined;
  },
});

/** The extent of an image along all its axes: what is of shape [axes, 1] meets coordinates [N, places, axes, pixels]. */
interface Border {
  readonly padding: string;
  /** The distance between neighbours along each axis, in the flattened image. */
  readonly strides: Value;
  /** Coordinates in pixels for those from −1 to 1. */
  place(grid: Value): Value;
  /** Coordinates moved into the image as the padding says. */
  inside(coordinate: Value): Value;
  /** Coordinates moved to the border where they lie on it or beyond, with no derivative there. */
  clip(coordinate: Value): Value;
}

function borderOf(ctx: DefinitionContext): Border {
  const { e, node } = ctx;
  const x = ctx.input(0);
  const lengths = ctx.shape(x).slice(2).reverse();
  const aligned = node.attributes.int('align_corners', 0) === 1;
  const padding = node.attributes.string('padding_mode', 'zeros');
  const [zero, one, two] = [0, 1, 2].map((value) => e.scalar(value, x));
  const int = (axis: number) =>
    isStatic(lengths[axis])
      ? e.int64([lengths[axis]])
      : e.node('Shape', [x], { start: lengths.length + 1 - axis, end: lengths.length + 2 - axis });
  const along = (values: readonly Value[]) => e.unsqueeze(e.concat(values, 0), [1]);
  const all = lengths.map((_, axis) => int(axis));
  const strides = all.reduce<Value[]>(
    (list, _, axis) => [...list, axis === 0 ? e.int64([1]) : e.mul(list[axis - 1], all[axis - 1])],
    [],
  );
  const size = lengths.every(isStatic)
    ? constant(ctx, [lengths.length, 1], lengths)
    : e.cast(along(all), x.dtype ?? 'float32');
  const last = e.sub(size, one);

  const clip = (coordinate: Value) =>
    e.where(e.greater(coordinate, zero), e.where(e.less(coordinate, last), coordinate, last), zero);
  /** There and back between the outer pixels, or their outer edges: a wave of triangles. An axis of one pixel stays. */
  const reflect = (coordinate: Value) => {
    const span = aligned ? e.node('Max', [last, one]) : size;
    const low = e.scalar(aligned ? 0 : -0.5, x);
    const period = e.mul(span, two);
    const distance = e.sub(coordinate, low);
    const rest = e.sub(distance, e.mul(period, e.node('Floor', [e.div(distance, period)])));
    return e.add(e.sub(span, e.node('Abs', [e.sub(rest, span)])), low);
  };
  return {
    padding,
    strides: along(strides),
    place(grid) {
      const shifted = e.add(grid, one);
      return aligned ? e.mul(e.div(shifted, two), last) : e.div(e.sub(e.mul(shifted, size), one), two);
    },
    inside(coordinate) {
      if (padding === 'zeros') return coordinate;
      return clip(padding === 'reflection' ? reflect(coordinate) : coordinate);
    },
    clip,
  };
}

/** The weights of the pixels at a distance `t` from the one before: polynomials, by Horner's rule. */
function weightsOf(ctx: DefinitionContext, { weights }: Taps, t: Value): Value {
  const { e } = ctx;
  return weights
    .map((row) => constant(ctx, [row.length], row))
    .reduceRight((value, row) => e.add(e.mul(value, t), row));
}

/** A constant of the dtype of the images. */
function constant({ e, input }: DefinitionContext, dims: readonly number[], values: readonly number[]): Value {
  const dtype = input(0).dtype === 'float64' ? 'float64' : 'float32';
  const data = dtype === 'float64' ? Float64Array.from(values) : Float32Array.from(values);
  return e.constant(Tensor.of(dtype, dims, data), 'grid_sample');
}
