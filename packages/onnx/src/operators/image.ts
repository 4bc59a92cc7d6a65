import { composite } from '../entry/composite.js';
import { floatsToInput } from '../entry/older-form.js';
import type { DefinitionContext, InferContext, Operator, UpgradeContext } from '../entry/operator.js';
import { realNumbers } from '../entry/reals.js';
import { DATA, role, SETTING } from '../entry/role.js';
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
 * Interpolation along some axes. Its definition is one matrix an axis, so the sizes of the axes must be known, except
 * where elements are merely repeated.
 */
export const Resize = composite({
  op: 'Resize',
  since: 18,
  roles: [DATA, SIZES],
  shape: 'values',
  notes: 'not cropping; free sizes only where elements are repeated a whole number of times',
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
    return [
      axes.reduce((value, axis) => {
        const [from, to] = [shape[axis], output[axis]];
        const factor = factors[axis];
        if (equalDims(from, to) && (factor ?? 1) === 1) return value;
        if (!isStatic(from) || !isStatic(to)) {
          return ctx.fail(
            `the length of its axis ${axis} is free (${String(from)}); fix the sizes of free dimensions (specialize, --dim)`,
          );
        }
        e.allow(from * to);
        const matrix =
          samplingMatrix({ input: from, output: to, scale: factor ?? to / from }, sampling) ??
          ctx.fail(`${sampling.mode} interpolation with ${sampling.coordinates} coordinates is not supported`);
        const dtype = x.dtype === 'float64' ? 'float64' : 'float32';
        const data = dtype === 'float64' ? matrix : Float32Array.from(matrix);
        const transposed = e.transpose(e.constant(Tensor.of(dtype, [to, from], data), 'interpolation'), [1, 0]);
        const order = shape.map((_, i) => i);
        const swapped = order.with(axis, shape.length - 1).with(shape.length - 1, axis);
        return e.transpose(e.matMul(e.transpose(value, swapped), transposed), swapped);
      }, x),
    ];
  },
  upgrade: (ctx) => (ctx.opset === 10 ? upgradeOldResize(ctx) : undefined),
});

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
  notes: 'gradient with a fixed sampling_ratio',
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
 * reference of ONNX and ONNX Runtime have it, the largest product of a pixel and its weight.
 */
function alignedRegions(ctx: DefinitionContext): readonly Value[] {
  const { e, node } = ctx;
  const { attributes } = node;
  const [x, boxes, batch] = [ctx.input(0), ctx.input(1), ctx.input(2)];
  const shape = ctx.shape(x);
  const [, channels, height, width] = shape;
  const samples = attributes.int('sampling_ratio', 0);
  const mode = attributes.string('mode', 'avg');
  if (samples <= 0) ctx.fail('with a sampling_ratio of 0 its samples depend on the boxes; set a positive one');
  if (!isStatic(channels) || !isStatic(height) || !isStatic(width)) {
    return ctx.fail('the lengths of its images are free; fix the sizes of free dimensions');
  }
  const half = attributes.string('coordinate_transformation_mode', 'half_pixel') === 'half_pixel';
  const bins = [attributes.int('output_height', 1), attributes.int('output_width', 1)];
  const scalar = (value: number) => e.scalar(value, x);
  const dtype = x.dtype === 'float64' ? 'float64' : 'float32';
  const edge = (index: number) => {
    const edges = e.scale(e.gather(boxes, e.int64([index]), 1), attributes.float('spatial_scale', 1));
    return half ? e.sub(edges, scalar(0.5)) : edges;
  };
  // [regions, bins · samples · 2 pixels] along each axis.
  const [rows, columns] = [height, width].map((length, axis) => {
    const [first, last] = [edge(1 - axis), edge(3 - axis)];
    const size = half ? e.sub(last, first) : e.node('Max', [e.sub(last, first), scalar(1)]);
    const count = bins[axis] * samples;
    e.allow(count);
    const middles = Array.from({ length: count }, (_, i) => (i + 0.5) / count);
    const data = dtype === 'float64' ? Float64Array.from(middles) : Float32Array.from(middles);
    const place = e.add(first, e.mul(size, e.constant(Tensor.of(dtype, [count], data), 'middles')));
    const reached = e.and(e.greaterOrEqual(place, scalar(-1)), e.greaterOrEqual(scalar(length), place));
    const inside = e.node('Clip', [place, scalar(0), scalar(length - 1)]);
    const before = e.node('Floor', [inside]);
    const after = e.node('Min', [e.add(before, scalar(1)), scalar(length - 1)]);
    const share = e.sub(inside, before);
    const pair = (a: Value, b: Value) =>
      e.reshape(e.concat([e.unsqueeze(a, [2]), e.unsqueeze(b, [2])], 2), [0, 2 * count]);
    return {
      pixels: e.cast(pair(before, after), 'int64'),
      weights: pair(e.mask(reached, e.sub(scalar(1), share)), e.mask(reached, share)),
    };
  });
  const [down, across] = [(value: Value) => e.unsqueeze(value, [2]), (value: Value) => e.unsqueeze(value, [1])];
  const image = e.mul(e.unsqueeze(batch, [1, 2]), e.scalar(height * width, 'int64'));
  const inImage = e.add(e.mul(down(rows.pixels), e.scalar(width, 'int64')), across(columns.pixels));
  const flat = e.reshape(e.transpose(x, [0, 2, 3, 1]), [-1, channels]);
  const picked = e.gather(flat, e.add(image, inImage), 0);
  const weighted = e.mul(picked, e.unsqueeze(e.mul(down(rows.weights), across(columns.weights)), [3]));
  const grouped = e.reshape(weighted, [0, bins[0], 2 * samples, bins[1], 2 * samples, channels]);
  const pooled =
    mode === 'max'
      ? e.node('ReduceMax', [grouped, e.int64([2, 4])], { keepdims: 0 })
      : e.scale(e.reduceSum(grouped, [2, 4]), 1 / samples ** 2);
  return [e.transpose(pooled, [0, 3, 1, 2])];
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
    if (block?.every(isStatic) !== true || !lengths.every(isStatic)) {
      return ctx.fail('the lengths of its images or blocks are free; fix the sizes of free dimensions');
    }
    const all = (value: number) => lengths.map(() => value);
    const strides = node.attributes.ints('strides', all(1));
    const dilations = node.attributes.ints('dilations', all(1));
    const pads = node.attributes.ints('pads', [...all(0), ...all(0)]);
    const [begin, end] = [pads.slice(0, lengths.length), pads.slice(lengths.length)];
    const padded = e.node('Pad', [ctx.grad(), e.int64([0, 0, ...begin, 0, 0, ...end])]);
    // Each axis becomes two: the place in a block, and the block.
    const taken = lengths.reduce<Value>((value, length, i) => {
      const reach = dilations[i] * (block[i] - 1) + 1;
      const blocks = Math.floor((length + begin[i] + end[i] - reach) / strides[i]) + 1;
      e.allow(block[i] * blocks);
      const places = Array.from({ length: block[i] * blocks }, (_, at) =>
        BigInt(dilations[i] * Math.floor(at / blocks) + strides[i] * (at % blocks)),
      );
      const indices = Tensor.of('int64', [block[i], blocks], BigInt64Array.from(places));
      return e.gather(value, e.constant(indices, 'places'), 2 + 2 * i);
    }, padded);
    const axes = lengths.map((_, i) => 2 + 2 * i);
    return [e.reshapeLike(e.transpose(taken, [0, 1, ...axes, ...axes.map((axis) => axis + 1)]), x)];
  },
};
