import { composite } from '../entry/composite.js';
import { floatsToInput } from '../entry/older-form.js';
import type { DefinitionContext, InferContext, Operator, UpgradeContext } from '../entry/operator.js';
import { realNumbers } from '../entry/reals.js';
import { DATA, role, SETTING } from '../entry/role.js';
import { type FreeAxis, samplingMatrixAtRunTime } from '../entry/interpolation.js';
import { repeats, type Sampling, samplingMatrix } from '../entry/sampling.js';
import { shapeFromInput } from '../entry/shape-input.js';
import type { Attributes } from '../graph/attribute.js';
import type { Value } from '../graph/value.js';
import { Tensor } from '../model/tensor.js';
import {
  type Dim,
  divideExactly,
  equalDims,
  floorDivideDims,
  isStatic,
  multiplyDims,
  productOfDims,
} from '../shape/dim.js';
import type { Shape } from '../shape/shape.js';

const SIZES = role('setting', 'sizes or scales of an image');

/**
 * Interpolation along some axes. Its definition is one matrix an axis: a constant where the lengths of the axis are known, else
 * computed when the graph runs. Elements that are repeated a whole number of times take none.
 */
export const Resize = composite({
  op: 'Resize',
  since: 18,
  roles: [DATA, SIZES],
  shape: 'values',
  notes: 'not cropping',
  infer: (ctx) => [{ dtype: ctx.dtype(0), shape: resizedShape(ctx) }],
  define(ctx) {
    const { e, node } = ctx;
    const { attributes } = node;
    const sampling: Sampling = {
      mode: attributes.string('mode', 'nearest'),
      coordinates: attributes.string('coordinate_transformation_mode', 'half_pixel'),
      nearest: attributes.string('nearest_mode', 'round_prefer_floor'),
      cubic: attributes.float('cubic_coeff_a', -0.75),
      excludeOutside: attributes.int('exclude_outside', 0) === 1,
      antialias: attributes.int('antialias', 0) === 1,
    };
    const x = ctx.input(0);
    const shape = ctx.shape(x);
    const output = ctx.shape(node.outputs[0] ?? ctx.fail('it has no output'));
    const axes = resizedAxes(attributes.ints('axes'), shape.length);
    // Read from the file even where they pass for parameters: no gradient goes to scales, which decide the shape.
    const scales = realNumbers(node.inputs[2]);
    const given = scales?.length === axes.length ? scales : undefined;
    const kept = keptScale(attributes, axes, shape, node.inputs[3]?.contents);
    const factors = shape.map((_, axis) => {
      const place = axes.indexOf(axis);
      return given?.[place] ?? (place < 0 ? undefined : kept);
    });
    if (
      factors.some((factor) => factor !== undefined) &&
      factors.every((f) => f === undefined || repeats(f, sampling))
    ) {
      return [
        repeated(
          ctx,
          x,
          factors.map((factor) => factor ?? 1),
        ),
      ];
    }
    const dtype = x.dtype === 'float64' ? 'float64' : 'float32';
    return [
      axes.reduce((value, axis, place) => {
        const [from, to] = [shape[axis], output[axis]];
        const factor = factors[axis];
        if (equalDims(from, to) && (factor ?? 1) === 1) return value;
        const matrix = () => {
          if (!isStatic(from) || !isStatic(to)) {
            const free = freeAxis(ctx, axes, place, factor);
            return e.assume(samplingMatrixAtRunTime(ctx, free, sampling, dtype), [to, from]);
          }
          e.allow(from * to);
          const numbers =
            samplingMatrix({ input: from, output: to, scale: factor ?? to / from }, sampling) ??
            ctx.fail(`${sampling.mode} interpolation with ${sampling.coordinates} coordinates is not supported`);
          const data = dtype === 'float64' ? numbers : Float32Array.from(numbers);
          return e.constant(Tensor.of(dtype, [to, from], data), 'interpolation');
        };
        const transposed = e.transpose(matrix(), [1, 0]);
        const order = shape.map((_, i) => i);
        const swapped = order.with(axis, shape.length - 1).with(shape.length - 1, axis);
        return e.transpose(e.matMul(e.transpose(value, swapped), transposed), swapped);
      }, x),
    ];
  },
  upgrade: (ctx) => (ctx.opset === 10 ? upgradeOldResize(ctx) : undefined),
});

/**
 * What the graph computes of the axis at `axes[place]`.
 *
 * @param factor its scale, where it is known
 */
function freeAxis(
  ctx: DefinitionContext,
  axes: readonly number[],
  place: number,
  factor: number | undefined,
): FreeAxis {
  const { e, node } = ctx;
  const lengths = e.gather(e.shapeOf(ctx.input(0)), e.int64(axes));
  const pick = (values: Value) => e.gather(values, e.scalar(place, 'int64'));
  const input = pick(lengths);
  const length = e.cast(input, 'float32');
  const floored = (value: Value) => e.cast(e.node('Floor', [value]), 'int64');
  const scales = ctx.has(2) && ctx.shape(ctx.input(2))[0] !== 0 ? ctx.input(2) : undefined;
  if (scales !== undefined) {
    const scale = factor === undefined ? pick(e.cast(scales, 'float32')) : e.scalar(factor, 'float32');
    return { input, scale, output: floored(e.mul(length, scale)) };
  }
  const sizes = ctx.input(3);
  const policy = node.attributes.string('keep_aspect_ratio_policy', 'stretch');
  if (policy === 'stretch') {
    const output = pick(sizes);
    return { input, scale: e.div(e.cast(output, 'float32'), length), output };
  }
  const all = e.div(e.cast(sizes, 'float32'), e.cast(lengths, 'float32'));
  const scale = e.node(policy === 'not_larger' ? 'ReduceMin' : 'ReduceMax', [all, e.int64([0])], { keepdims: 0 });
  return { input, scale, output: floored(e.add(e.mul(length, scale), e.scalar(0.5, 'float32'))) };
}

/** Every element `counts[axis]` times in a row. */
function repeated({ e }: DefinitionContext, x: Value, counts: readonly number[]): Value {
  const spread = e.unsqueeze(
    x,
    counts.map((_, axis) => 2 * axis + 1),
  );
  const copies = e.node('Expand', [spread, e.int64(counts.flatMap((count) => [1, count]))]);
  return e.reshape(copies, e.node('Mul', [e.shapeOf(x), e.int64(counts)]));
}

function resizedAxes(axes: readonly number[] | undefined, rank: number): readonly number[] {
  return axes?.map((axis) => (axis < 0 ? axis + rank : axis)) ?? Array.from({ length: rank }, (_, i) => i);
}

function resizedShape(ctx: InferContext): Shape {
  const shape = ctx.shape(0);
  const { attributes } = ctx.node;
  if (attributes.string('coordinate_transformation_mode') === 'tf_crop_and_resize') {
    ctx.fail('cropping by tf_crop_and_resize is not supported');
  }
  const axes = resizedAxes(attributes.ints('axes'), shape.length);
  const place = (axis: number) => axes.indexOf(axis);
  const scales = realNumbers(ctx.node.inputs[2]);
  if (scales !== undefined && scales.length > 0) {
    return shape.map((dim, axis) => (place(axis) < 0 ? dim : scaled(ctx, dim, scales[place(axis)])));
  }
  const sizes = ctx.has(3) ? ctx.contents(3) : undefined;
  if (attributes.string('keep_aspect_ratio_policy', 'stretch') !== 'stretch') {
    const kept = keptScale(attributes, axes, shape, sizes);
    return shape.map((dim, axis) => {
      if (place(axis) < 0) return dim;
      // Halves are rounded up.
      return kept !== undefined && isStatic(dim) ? Math.floor(Math.fround(dim * kept) + 0.5) : ctx.unknownDim();
    });
  }
  return shape.map((dim, axis) => (place(axis) < 0 ? dim : (sizes?.[place(axis)] ?? ctx.unknownDim())));
}

/** The one scale of all axes that keeps the proportions, where the sizes are only bounds; undefined where they are not. */
function keptScale(
  attributes: Attributes,
  axes: readonly number[],
  shape: Shape,
  sizes: readonly Dim[] | undefined,
): number | undefined {
  const policy = attributes.string('keep_aspect_ratio_policy', 'stretch');
  if (policy === 'stretch' || sizes === undefined) return undefined;
  const scales = axes.map((axis, i) => {
    const [from, to] = [shape[axis], sizes[i]];
    return isStatic(from) && isStatic(to) ? Math.fround(to / from) : NaN;
  });
  const scale = policy === 'not_larger' ? Math.min(...scales) : Math.max(...scales);
  return Number.isNaN(scale) ? undefined : scale;
}

/** ⌊dim · scale⌋. */
function scaled(ctx: InferContext, dim: Dim, scale: number): Dim {
  if (isStatic(dim)) return Math.floor(Math.fround(dim * scale));
  for (let divisor = 1; divisor <= 64; divisor++) {
    if (Number.isInteger(scale * divisor)) return floorDivideDims(multiplyDims(dim, scale * divisor), divisor);
  }
  return ctx.unknownDim();
}

/** Resize as it was called before opset 10. */
export const Upsample: Operator = {
  op: 'Upsample',
  since: 9,
  roles: [DATA, SIZES],
  shape: 'values',
  notes: 'becomes Resize',
  infer: (ctx) => ctx.fail('opset 10 replaced it by Resize'),
  gradient: 'none',
  upgrade(ctx) {
    if (ctx.opset > 9) ctx.fail('is used in a model of an opset that has taken it out; use Resize');
    floatsToInput(ctx, 'scales', 1);
    return upgradeOldResize(ctx);
  },
};

/**
 * Resize of opset 10, and Upsample: output position o lies at o / scale, and nearest takes the element at or before that
 * where an axis grows, the one at or after it where it shrinks (so ONNX Runtime does it).
 */
function upgradeOldResize(ctx: UpgradeContext): readonly Value[] {
  const { node, e } = ctx;
  const [x, scales] = node.inputs;
  if (x === undefined || scales === undefined) return ctx.fail('lacks its scales');
  const mode = node.attributes.string('mode', 'nearest');
  const resize = (value: Value, by: Value, nearest?: string) =>
    e.node('Resize', [value, undefined, by], {
      mode: mode === 'nearest' ? mode : 'linear',
      coordinate_transformation_mode: 'asymmetric',
      nearest_mode: nearest,
    });
  if (mode !== 'nearest') return [resize(x, scales)];
  const factors = scales.constant?.toNumbers();
  // Upsample only knows scales from 1 up.
  if (factors?.every((factor) => factor >= 1) ?? node.op === 'Upsample') return [resize(x, scales, 'floor')];
  if (factors === undefined) return ctx.fail('takes its scales from the data; export the model with opset 11 or later');
  const only = (keep: (factor: number) => boolean) => {
    const data = Float32Array.from(factors, (factor) => (keep(factor) ? factor : 1));
    return e.constant(Tensor.of('float32', [data.length], data), 'scales');
  };
  const shrunk = resize(
    x,
    only((factor) => factor < 1),
    'ceil',
  );
  return [
    factors.some((factor) => factor > 1)
      ? resize(
          shrunk,
          only((factor) => factor > 1),
          'floor',
        )
      : shrunk,
  ];
}

/**
 * Each region of interest of an image, pooled to one size: means (or maxima) of samples between pixels. The boxes get no
 * gradient, as in torchvision.
 */
export const RoiAlign: Operator = {
  op: 'RoiAlign',
  roles: [DATA, role('aside', 'boxes')],
  since: 16,
  infer(ctx) {
    const { attributes } = ctx.node;
    const [height, width] = [attributes.int('output_height', 1), attributes.int('output_width', 1)];
    return [{ dtype: ctx.dtype(0), shape: [ctx.shape(1)[0], ctx.shape(0)[1], height, width] }];
  },
  gradient: (ctx) => [ctx.pullback(alignedRegions)[0], undefined, undefined],
  upgrade({ node, opset }) {
    // Before opset 16 there was no half a pixel to take off.
    if (opset < 16) node.attributes.set('coordinate_transformation_mode', 'output_half_pixel');
    return undefined;
  },
};

/**
 * Every sample is two pixels an axis, whose weights fall off with the distance. A bin is the mean of its samples or, as the
 * reference of ONNX and ONNX Runtime have it, the largest product of a pixel and its weight. Without a sampling_ratio, a region
 * takes as many samples a bin as the bin has pixels, rounded up: all regions are given those of the largest one, and what is
 * too many does not count.
 */
function alignedRegions(ctx: DefinitionContext): readonly Value[] {
  const { e } = ctx;
  const x = ctx.input(0);
  const shape = ctx.shape(x);
  const options = regionOptions(ctx);
  const lengths = [2, 3].map((axis) =>
    isStatic(shape[axis]) ? e.scalar(shape[axis], 'int64') : e.gather(e.shapeOf(x), e.scalar(axis, 'int64')),
  );
  const sides = lengths.map((length, axis) => regionSide(ctx, options, length, axis));
  const [rows, columns] = sides.map((side, axis) => samplesAlong(ctx, options, side, axis));
  // What there is of the two axes of an image together: [regions, bins, pixels, bins, pixels].
  const together = (a: Value, b: Value, combine: (a: Value, b: Value) => Value) =>
    combine(e.unsqueeze(a, [3, 4]), e.unsqueeze(b, [1, 2]));
  const [height, width] = lengths;
  const image = e.mul(e.unsqueeze(ctx.input(2), [1, 2, 3, 4]), e.mul(height, width));
  const inImage = together(e.mul(rows.pixels, width), columns.pixels, (a, b) => e.add(a, b));
  const channelsLast = e.transpose(x, [0, 2, 3, 1]);
  const channels = isStatic(shape[1]) ? e.int64([shape[1]]) : e.gather(e.shapeOf(x), e.int64([1]));
  const flat = e.assume(e.reshape(channelsLast, e.concat([e.int64([-1]), channels], 0)), [
    productOfDims([shape[0], shape[2], shape[3]]),
    shape[1],
  ]);
  const picked = e.gather(flat, e.add(image, inImage), 0);
  const weights = together(rows.weights, columns.weights, (a, b) => e.mul(a, b));
  const counts =
    rows.counts &&
    columns.counts &&
    e.unsqueeze(
      together(rows.counts, columns.counts, (a, b) => e.and(a, b)),
      [5],
    );
  const weighted = e.mul(picked, e.unsqueeze(weights, [5]));
  const pooled =
    options.mode === 'max'
      ? largest(ctx, weighted, counts)
      : e.div(
          e.reduceSum(counts === undefined ? weighted : e.mask(counts, weighted), [2, 4]),
          e.unsqueeze(e.mul(rows.samples, columns.samples), options.ratio > 0 ? [] : [2, 3]),
        );
  return [e.transpose(pooled, [0, 3, 1, 2])];
}

function regionOptions({ node: { attributes } }: DefinitionContext) {
  return {
    bins: [attributes.int('output_height', 1), attributes.int('output_width', 1)],
    /** Samples a bin along an axis; 0 for as many as it has pixels. */
    ratio: attributes.int('sampling_ratio', 0),
    scale: attributes.float('spatial_scale', 1),
    /** Whether pixels are where their centers are. */
    half: attributes.string('coordinate_transformation_mode', 'half_pixel') === 'half_pixel',
    mode: attributes.string('mode', 'avg'),
  };
}

type RegionOptions = ReturnType<typeof regionOptions>;

/** Where regions begin along an axis of an image of some length, how far their bins are apart, and how many samples these take. */
function regionSide(ctx: DefinitionContext, { bins, ratio, scale, half }: RegionOptions, length: Value, axis: number) {
  const { e } = ctx;
  const scalar = (value: number) => e.scalar(value, ctx.input(0));
  const edge = (index: number) => {
    const edges = e.scale(e.gather(ctx.input(1), e.int64([index]), 1), scale);
    return half ? e.sub(edges, scalar(0.5)) : edges;
  };
  const [first, last] = [edge(1 - axis), edge(3 - axis)];
  const size = half ? e.sub(last, first) : e.node('Max', [e.sub(last, first), scalar(1)]);
  const pitch = e.scale(size, 1 / bins[axis]);
  if (ratio > 0) {
    e.allow(bins[axis] * ratio);
    return { length, first, pitch, used: scalar(ratio), most: e.scalar(ratio, 'int64') };
  }
  // [regions, 1]. Nothing is taken from a region that ends before it begins.
  const used = e.node('Max', [e.node('Ceil', [e.div(size, scalar(bins[axis]))]), scalar(0)]);
  const most = e.node('ReduceMax', [e.concat([e.reshape(used, [-1]), e.reshape(scalar(1), [1])], 0)], { keepdims: 0 });
  return { length, first, pitch, used, most: e.cast(most, 'int64') };
}

/** The pixels of the samples along an axis, with their weights, whether they count, and samples a bin: [regions, bins, samples · 2]. */
function samplesAlong(
  ctx: DefinitionContext,
  { bins, ratio }: RegionOptions,
  { length, first, pitch, used, most }: ReturnType<typeof regionSide>,
  axis: number,
) {
  const { e } = ctx;
  const x = ctx.input(0);
  const dtype = x.dtype === 'float64' ? 'float64' : 'float32';
  const scalar = (value: number) => e.scalar(value, x);
  const whole = (value: number) => e.scalar(value, 'int64');
  const lines = (value: Value) => e.unsqueeze(value, [2]);
  const one = scalar(1);
  const sample = e.cast(e.node('Range', [whole(0), most, whole(1)]), dtype);
  const bin = e.reshape(e.cast(e.int64(Array.from({ length: bins[axis] }, (_, i) => i)), dtype), [-1, 1]);
  const samples = e.node('Max', [used, one]);
  const spread = ratio > 0 ? samples : lines(samples);
  const middle = e.add(bin, e.div(e.add(sample, scalar(0.5)), spread));
  const place = e.add(lines(first), e.mul(lines(pitch), middle));
  const reached = e.and(e.greaterOrEqual(place, scalar(-1)), e.greaterOrEqual(e.cast(length, dtype), place));
  const end = e.cast(e.sub(length, whole(1)), dtype);
  const inside = e.node('Clip', [place, scalar(0), end]);
  const before = e.node('Floor', [inside]);
  const after = e.node('Min', [e.add(before, one), end]);
  const share = e.sub(inside, before);
  const pair = (a: Value, b: Value) =>
    e.reshape(e.concat([e.unsqueeze(a, [3]), e.unsqueeze(b, [3])], 3), [0, bins[axis], -1]);
  const counts = ratio > 0 ? undefined : e.expandLike(e.less(sample, lines(used)), place);
  return {
    pixels: e.cast(pair(before, after), 'int64'),
    weights: pair(e.mask(reached, e.sub(one, share)), e.mask(reached, share)),
    counts: counts && pair(counts, counts),
    samples,
  };
}

/** The largest of all samples that count, over axes 2 and 4; 0 where none does. */
function largest({ e }: DefinitionContext, samples: Value, counts: Value | undefined): Value {
  const maximum = (values: Value) => e.node('ReduceMax', [values, e.int64([2, 4])], { keepdims: 0 });
  if (counts === undefined) return maximum(samples);
  const any = e.greater(e.reduceSum(e.cast(counts, samples.dtype ?? 'float32'), [2, 4]), e.scalar(0, samples));
  return e.mask(any, maximum(e.where(counts, samples, e.scalar(-Infinity, samples))));
}

/**
 * Adds columns, blocks of pixels [N, C · pixels of a block, blocks], into images [N, C, …lengths]: the transpose of taking
 * all blocks out of images, which is the gradient.
 */
export const Col2Im: Operator = {
  op: 'Col2Im',
  since: 18,
  roles: [DATA, SETTING],
  shape: 'values',
  infer(ctx) {
    const [batch, channels] = ctx.shape(0);
    const block = ctx.contents(2);
    const pixels = block?.every(isStatic) === true ? productOfDims(block) : undefined;
    const images = pixels === undefined ? undefined : divideExactly(channels, pixels);
    return [{ dtype: ctx.dtype(0), shape: [batch, images ?? ctx.unknownDim(), ...shapeFromInput(ctx, 1)] }];
  },
  gradient(ctx) {
    const { e, node } = ctx;
    const x = ctx.input(0);
    const block = node.inputs[2]?.contents;
    const lengths = ctx.shape(ctx.output()).slice(2);
    if (block?.every(isStatic) !== true) {
      return ctx.fail('the lengths of its blocks are known at run time only; export the model with fixed ones');
    }
    const all = (value: number) => lengths.map(() => value);
    const strides = node.attributes.ints('strides', all(1));
    const dilations = node.attributes.ints('dilations', all(1));
    const pads = node.attributes.ints('pads', [...all(0), ...all(0)]);
    const [begin, end] = [pads.slice(0, lengths.length), pads.slice(lengths.length)];
    const padded = e.node('Pad', [ctx.grad(), e.int64([0, 0, ...begin, 0, 0, ...end])]);
    const whole = (value: number) => e.scalar(value, 'int64');
    // Each axis becomes two: the place in a block, and the block.
    const taken = lengths.reduce<Value>((value, length, i) => {
      const margin = begin[i] + end[i] - dilations[i] * (block[i] - 1) - 1;
      e.allow(block[i]);
      const inBlock = Tensor.int64(Array.from({ length: block[i] }, (_, at) => dilations[i] * at));
      const blocks = isStatic(length)
        ? whole(Math.floor((length + margin) / strides[i]) + 1)
        : e.add(e.div(e.add(e.gather(ctx.input(1), whole(i)), whole(margin)), whole(strides[i])), whole(1));
      if (isStatic(length)) e.allow(block[i] * (Math.floor((length + margin) / strides[i]) + 1));
      const starts = e.mul(e.node('Range', [whole(0), blocks, whole(1)]), whole(strides[i]));
      return e.gather(value, e.add(e.unsqueeze(e.constant(inBlock, 'places'), [1]), starts), 2 + 2 * i);
    }, padded);
    const axes = lengths.map((_, i) => 2 + 2 * i);
    return [e.reshapeLike(e.transpose(taken, [0, 1, ...axes, ...axes.map((axis) => axis + 1)]), x)];
  },
};
