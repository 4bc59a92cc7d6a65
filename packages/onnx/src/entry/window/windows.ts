import type { Node } from '../../graph/node.js';
import {
  addDims,
  ceilDivideDims,
  differentDims,
  floorDivideDims,
  isAtLeast,
  isStatic,
  maxDims,
  minDims,
  multiplyDims,
  subtractDims,
  type Dim,
} from '../../shape/dim.js';
import { isStaticShape, type Shape } from '../../shape/shape.js';

/**
 * How the windows of a convolution or a pool lie on its input, one entry a spatial axis in every field. Window `o`
 * covers the positions `o·stride − begin + k·dilation` for k in [0, kernel).
 */
export interface Windows {
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  /** Padding before and after the input. Not a number where `auto_pad` makes it depend on a free dimension. */
  readonly begin: Shape;
  readonly end: Shape;
  /** Lengths of the input and of the output. */
  readonly input: Shape;
  readonly output: Shape;
}

/** Windows whose padding is known. */
export interface PlacedWindows extends Windows {
  readonly begin: readonly number[];
  readonly end: readonly number[];
}

/** The channels of a convolution's weights, which are laid out as [groups·outputs, inputs, …kernel]. */
export interface Channels {
  readonly groups: number;
  /** Input and output channels of one group. */
  readonly inputs: number;
  readonly outputs: number;
}

/** Slice bounds this large mean "to the end". */
export const TO_THE_END = Number.MAX_SAFE_INTEGER;

/** What reading windows needs of a shape rule's or a gradient's context. */
export interface WindowContext {
  readonly node: Node;
  fail(what: string): never;
}

/**
 * How many positions of the output padding of a ConvTranspose node, an axis, make room for windows that no element of its
 * input has: whole strides of it, which are legal below the dilation. None with padding that is left to be found.
 */
export function emptyWindows({ attributes }: Node): readonly number[] {
  const added = attributes.ints('output_padding', []);
  const strides = attributes.ints('strides', new Array<number>(added.length).fill(1));
  const isExplicit = attributes.string('auto_pad', 'NOTSET') === 'NOTSET' && !attributes.has('output_shape');
  return added.map((length, i) => (isExplicit ? length - (length % strides[i]) : 0));
}

/** The positions from the first to the last that one window covers. */
export function windowExtent({ kernel, dilations }: Windows, axis: number): number {
  return dilations[axis] * (kernel[axis] - 1) + 1;
}

/** Axes 2, 3, … of a value laid out as [batch, channels, …spatial]. */
export function spatialAxes(windows: Pick<Windows, 'kernel'>): number[] {
  return windows.kernel.map((_, i) => 2 + i);
}

/** The windows of Conv: `input` are the spatial dimensions of x, `kernel` those of the weights. */
export function convolutionWindows(ctx: WindowContext, input: Shape, kernel: Shape): Windows {
  const strides = perAxis(ctx, 'strides', input.length);
  const dilations = perAxis(ctx, 'dilations', input.length);
  return slide(ctx, { input, kernel: kernelSize(ctx, input, kernel), strides, dilations }, { dilated: true });
}

/** The windows of MaxPool and AveragePool. */
export function poolWindows(ctx: WindowContext, input: Shape): Windows {
  const kernel = ctx.node.attributes.ints('kernel_shape') ?? ctx.fail("attribute 'kernel_shape' is missing");
  const strides = perAxis(ctx, 'strides', input.length);
  const dilations = perAxis(ctx, 'dilations', input.length);
  // The pools of ONNX Runtime choose the padding of `auto_pad` as if windows were not dilated.
  return slide(ctx, { input, kernel: kernelSize(ctx, input, kernel), strides, dilations }, { dilated: false });
}

/**
 * The windows of ConvTranspose, which is the transpose of a convolution: `input` and `output` are those of that
 * convolution, so `output` is the given shape of x and `input` is what ConvTranspose computes.
 */
export function transposedWindows(ctx: WindowContext, output: Shape, kernelShape: Shape): Windows {
  const { attributes } = ctx.node;
  const rank = output.length;
  const kernel = kernelSize(ctx, output, kernelShape);
  const strides = perAxis(ctx, 'strides', rank);
  const dilations = perAxis(ctx, 'dilations', rank);
  const extra = attributes.ints('output_padding') ?? kernel.map(() => 0);
  // The attribute may list the batch and the channels, too.
  const wanted = attributes.ints('output_shape')?.slice(-rank);
  const autoPad = attributes.string('auto_pad', 'NOTSET');
  const pads = explicitPads(ctx, rank);
  /** What comes out without padding. */
  const full = output.map((dim, i) =>
    addDims(multiplyDims(strides[i], subtractDims(dim, 1)), extra[i] + dilations[i] * (kernel[i] - 1) + 1),
  );
  const automatic = wanted !== undefined || autoPad === 'SAME_UPPER' || autoPad === 'SAME_LOWER';
  if (!automatic) {
    const input = full.map((dim, i) => subtractDims(dim, pads.begin[i] + pads.end[i]));
    return { kernel, strides, dilations, ...pads, input, output };
  }
  // The padding is what is left over; the odd one goes to the end for SAME_UPPER and else to the beginning.
  const target = wanted ?? output.map((dim, i) => multiplyDims(dim, strides[i]));
  const total = full.map((dim, i) => maxDims(subtractDims(dim, target[i]), 0));
  const half = total.map((dim) => floorDivideDims(dim, 2));
  const rest = total.map((dim, i) => subtractDims(dim, half[i]));
  const [begin, end] = autoPad === 'SAME_UPPER' ? [half, rest] : [rest, half];
  const input = wanted ?? full.map((dim, i) => subtractDims(dim, total[i]));
  return { kernel, strides, dilations, begin, end, input, output };
}

/** For gradients, which write the padding into attributes. */
export function requirePlaced(ctx: WindowContext, windows: Windows): PlacedWindows {
  const { begin, end } = windows;
  if (!isStaticShape(begin) || !isStaticShape(end)) {
    return ctx.fail(
      "its padding depends on a dimension that is free ('auto_pad' with a stride); fix the sizes of free dimensions (specialize, --dim) or export the model with explicit pads",
    );
  }
  if (begin.some((pad) => pad < 0)) {
    return ctx.fail(
      "'auto_pad' with a stride larger than the kernel cuts the input; export the model with explicit pads",
    );
  }
  return { ...windows, begin, end };
}

/** The channels of weights laid out as [groups·outputs, inputs, …kernel]. */
export function requireChannels(ctx: WindowContext, weights: Shape): Channels {
  const groups = ctx.node.attributes.int('group', 1);
  const [outputs, inputs] = weights;
  if (!isStatic(outputs) || !isStatic(inputs)) return ctx.fail('the number of channels of its weights is unknown');
  if (outputs % groups !== 0) ctx.fail(`${outputs} channels cannot be divided into ${groups} groups`);
  return { groups, inputs, outputs: outputs / groups };
}

function slide(
  ctx: WindowContext,
  shape: Pick<Windows, 'input' | 'kernel' | 'strides' | 'dilations'>,
  samePadding: { readonly dilated: boolean },
): Windows {
  const { attributes } = ctx.node;
  const { input, kernel, strides, dilations } = shape;
  const autoPad = attributes.string('auto_pad', 'NOTSET');
  const ceil = attributes.int('ceil_mode', 0) === 1;
  const pads = explicitPads(ctx, input.length);
  const [begin, end]: Dim[][] = [[...pads.begin], [...pads.end]];
  const output = input.map((dim, i): Dim => {
    const extent = dilations[i] * (kernel[i] - 1) + 1;
    if (autoPad === 'SAME_UPPER' || autoPad === 'SAME_LOWER') {
      const count = ceilDivideDims(dim, strides[i]);
      const covered = addDims(
        multiplyDims(subtractDims(count, 1), strides[i]),
        samePadding.dilated ? extent : kernel[i],
      );
      [begin[i], end[i]] = halve(subtractDims(covered, dim), autoPad);
      if (samePadding.dilated || dilations[i] === 1) return count;
    }
    const padded = addDims(dim, addDims(begin[i], end[i]));
    const room = subtractDims(padded, extent);
    // With ceil_mode it is enough that a window begins inside.
    if (isStatic(room) && room <= (ceil ? -strides[i] : -1)) {
      ctx.fail(`its window covers ${extent} positions of axis ${2 + i}, which has only ${String(padded)} with padding`);
    }
    if (!ceil) return addDims(floorDivideDims(room, strides[i]), 1);
    // With ceil_mode a window may reach beyond the padding, but must not begin there.
    const reaching = addDims(ceilDivideDims(room, strides[i]), 1);
    return minDims(reaching, ceilDivideDims(addDims(dim, begin[i]), strides[i]));
  });
  return { kernel, strides, dilations, begin, end, input, output };
}

/**
 * Splits the padding that `auto_pad` needs as ONNX Runtime does; negative with a stride beyond the kernel, where it
 * skips the first positions (and the last, which no window covers anyway).
 */
function halve(total: Dim, autoPad: 'SAME_UPPER' | 'SAME_LOWER'): [Dim, Dim] {
  if (!isStatic(total)) {
    const half = floorDivideDims(maxDims(total, 0), 2);
    const rest = subtractDims(maxDims(total, 0), half);
    return autoPad === 'SAME_UPPER' ? [half, rest] : [rest, half];
  }
  const first = Math.trunc((autoPad === 'SAME_UPPER' ? total : total + 1) / 2);
  return [first === 0 ? 0 : first, Math.max(total - first, 0)];
}

function explicitPads(ctx: WindowContext, rank: number): { begin: readonly number[]; end: readonly number[] } {
  const { attributes } = ctx.node;
  const used = attributes.string('auto_pad', 'NOTSET') === 'NOTSET';
  const pads = (used ? attributes.ints('pads') : undefined) ?? new Array<number>(2 * rank).fill(0);
  if (pads.length !== 2 * rank || pads.some((pad) => pad < 0)) {
    ctx.fail(`pads [${pads.join(', ')}] are not ${2 * rank} numbers from 0 up`);
  }
  return { begin: pads.slice(0, rank), end: pads.slice(rank) };
}

/** An attribute with one number from 1 up an axis; 1 for each when it is left out. */
function perAxis(ctx: WindowContext, name: string, rank: number): readonly number[] {
  const values = ctx.node.attributes.ints(name) ?? new Array<number>(rank).fill(1);
  if (values.length !== rank || values.some((value) => value < 1)) {
    ctx.fail(`${name} [${values.join(', ')}] are not ${rank} numbers from 1 up`);
  }
  return values;
}

function kernelSize(ctx: WindowContext, spatial: Shape, kernel: Shape): readonly number[] {
  if (spatial.length === 0) ctx.fail('it works on values of rank 3 and above: [batch, channels, …spatial]');
  if (kernel.length !== spatial.length) {
    ctx.fail(`its kernel has ${kernel.length} axes where its input has ${spatial.length} spatial ones`);
  }
  const declared = ctx.node.attributes.ints('kernel_shape');
  if (declared?.some((dim, i) => differentDims(dim, kernel[i])) === true) {
    ctx.fail(`kernel_shape [${declared.join(', ')}] contradicts the kernel [${kernel.map(String).join(', ')}]`);
  }
  const size = isStaticShape(kernel) ? kernel : (declared ?? ctx.fail('the size of its kernel is unknown'));
  if (!size.every((dim) => isAtLeast(dim, 1))) ctx.fail(`its kernel [${size.join(', ')}] is empty`);
  return size;
}
