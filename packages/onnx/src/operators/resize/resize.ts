import { Tensor } from '../../model/tensor.js';
import type { Attributes } from '../../graph/attribute.js';
import type { Value } from '../../graph/value.js';
import { equalDims, floorDivideDims, isStatic, multiplyDims, type Dim } from '../../shape/dim.js';
import type { Shape } from '../../shape/shape.js';
import { composite } from '../composite.js';
import type { DefinitionContext, InferContext } from '../operator.js';
import { upgradeOldResize } from './old-resize.js';
import { repeats, samplingMatrix, type Sampling } from './sampling.js';

/**
 * Interpolation along some axes. Its definition is one matrix an axis, so the sizes of the axes must be known, except
 * where elements are merely repeated.
 */
export const Resize = composite({
  op: 'Resize',
  since: 18,
  shape: 'values',
  notes: 'not cropping; free sizes only where elements are repeated a whole number of times',
  native: 'float32',
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
    const scales = knownScales(node.inputs[2]);
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
          return ctx.fail(`the length of its axis ${axis} is free; export the model with a fixed size`);
        }
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

/** Scales that are constant, or joined from constants, as exporters leave them that do not fold. */
function knownScales(value: Value | undefined): readonly number[] | undefined {
  if (value?.producer?.key !== 'Concat') return value?.constant?.toNumbers();
  const parts = value.producer.inputs.map((part) => knownScales(part));
  return parts.includes(undefined) ? undefined : parts.flatMap((part) => part ?? []);
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
  const scales = knownScales(ctx.node.inputs[2]);
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
