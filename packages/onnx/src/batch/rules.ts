import type { Node } from '../graph/node.js';
import { type Dim, equalDims, multiplyDims, productOfDims } from '../shape/dim.js';
import { equalShapes, normalizeAxis, type Shape } from '../shape/shape.js';

/**
 * What a rule sees of a node in a graph with a batch of 1. The batch axis of a value is the one that grows with the batch: to
 * as many times its length, sample by sample.
 */
export interface BatchContext {
  readonly node: Node;
  has(index: number): boolean;
  shape(index: number): Shape;
  outputShape(index: number): Shape;
  /** The batch axis of an input; undefined for what is the same for all samples. */
  axis(index: number): number | undefined;
  /** How many elements lie before the samples within the batch axis of the first input: [time · batch] has `time`. */
  readonly before: Dim;
  /** Known integers of an input. */
  contents(index: number): readonly number[] | undefined;
  /** Makes an input that is the same for all samples, and 1 long at `axis`, as long there as the batch is. */
  expand(index: number, axis: number): void;
  /** Makes the new shape of a Reshape node leave the length at `axis` open. */
  openAxis(axis: number): void;
  fail(why: string): never;
}

/** Where samples lie: an axis, and how many elements come before them within it. */
export interface BatchPlace {
  readonly axis: number;
  readonly before: Dim;
}

/**
 * The batch axis of every output, or one for all of them; what lies before the samples within it stays, unless a place says
 * otherwise. Runs where at least one input has a batch axis.
 */
type Rule = (ctx: BatchContext) => number | BatchPlace | readonly (number | undefined)[];

/** Samples lie along an axis of the first input, on which nothing happens; everything else is the same for all. */
const alone = (ctx: BatchContext): number => {
  const axis = ctx.axis(0);
  ctx.node.inputs.forEach((input, i) => {
    if (i > 0 && input !== undefined && ctx.axis(i) !== undefined) {
      ctx.fail(`its input '${input.name}' would be different for every sample`);
    }
  });
  return axis ?? ctx.fail('its first input is the same for all samples, another one is not');
};

/** An axis in the order of the file, counted from the front. */
const from = (axis: number, rank: number): number => normalizeAxis(axis, rank) ?? axis;

const along = (name: string, missing: number, kind: 'axis' | 'after' = 'axis'): Rule => {
  return (ctx) => {
    const axis = alone(ctx);
    const used = from(ctx.node.attributes.int(name, missing), ctx.shape(0).length);
    if (kind === 'axis' ? used === axis : used <= axis) ctx.fail('it goes over the batch');
    return axis;
  };
};

/** Samples lie along axis 0 of all inputs that differ between them. */
const images: Rule = (ctx) => {
  ctx.node.inputs.forEach((input, i) => {
    if (input !== undefined && (ctx.axis(i) ?? 0) !== 0) ctx.fail('its samples do not lie along its first axis');
  });
  return 0;
};

/** As {@link images}, with weights that are the same for all. */
const imagesAlone: Rule = (ctx) => (alone(ctx) === 0 ? 0 : ctx.fail('its samples do not lie along its first axis'));

const elementwise: Rule = (ctx) => {
  const used = ctx.node.inputs.flatMap((input, i) => (input === undefined ? [] : [i]));
  const rank = Math.max(...used.map((i) => ctx.shape(i).length));
  return aligned(ctx, used, (i) => rank - ctx.shape(i).length);
};

/** The one axis on which the samples of all inputs lie, in the coordinates of the output; `offset` is what an input lacks. */
function aligned(ctx: BatchContext, used: readonly number[], offset: (index: number) => number): number {
  const places = used.flatMap((i) => {
    const axis = ctx.axis(i);
    return axis === undefined ? [] : [{ place: axis + offset(i), length: ctx.shape(i)[axis] }];
  });
  const [first] = places;
  if (places.some(({ place, length }) => place !== first.place || !equalDims(length, first.length))) {
    ctx.fail('the samples of its inputs lie along different axes');
  }
  for (const i of used) {
    const dim = first.place >= offset(i) ? ctx.shape(i)[first.place - offset(i)] : 1;
    if (ctx.axis(i) === undefined && dim !== 1) {
      ctx.fail(`its input '${ctx.node.inputs[i]?.name ?? ''}' has ${String(dim)} elements along the batch`);
    }
  }
  return first.place;
}

const product = (ctx: BatchContext, [a, b]: readonly [number, number]): number => {
  const ranks = [ctx.shape(a).length, ctx.shape(b).length];
  const rank = Math.max(...ranks);
  const [left, right] = [ctx.axis(a), ctx.axis(b)];
  const behind = (i: 0 | 1, axis: number | undefined) => (axis === undefined ? undefined : ranks[i] - 1 - axis);
  const [row, column] = [behind(0, left), behind(1, right)];
  if (row === 0 || (column === 1 && ranks[1] > 1) || ranks.includes(1)) ctx.fail('it sums over the batch');
  if (row === 1 && right === undefined) return rank - 2;
  if (column === 0 && left === undefined) return rank - 1;
  if (row === 1 || column === 0) ctx.fail('it multiplies samples with one another');
  return aligned(ctx, [a, b], (i) => rank - ctx.shape(i).length);
};

const reduce: Rule = (ctx) => {
  const axis = alone(ctx);
  const rank = ctx.shape(0).length;
  const none = !ctx.has(1) || ctx.contents(1)?.length === 0;
  if (none && ctx.node.attributes.int('noop_with_empty_axes', 0) === 1) return axis;
  const axes = (none ? undefined : ctx.contents(1))?.map((each) => from(each, rank));
  if (axes === undefined || axes.includes(axis)) return ctx.fail('it reduces over the batch');
  if (ctx.node.attributes.int('keepdims', 1) === 1) return axis;
  return axis - axes.filter((each) => each < axis).length;
};

const arg: Rule = (ctx) => {
  const axis = alone(ctx);
  const over = from(ctx.node.attributes.int('axis', 0), ctx.shape(0).length);
  if (over === axis) ctx.fail('it reduces over the batch');
  return ctx.node.attributes.int('keepdims', 1) === 0 && over < axis ? axis - 1 : axis;
};

/**
 * Where the batch goes when elements are grouped anew: samples come behind what came before them. With one sample, the file
 * does not say whether they get an axis of their own, make the axis ahead longer (the rows of a matrix, as for a layer that
 * takes matrices), or the one behind (heads of attention).
 */
function regrouped(ctx: BatchContext, axis: number): BatchPlace {
  const [from, to] = [ctx.shape(0), ctx.outputShape(0)];
  const ahead = multiplyDims(productOfDims(from.slice(0, axis)), ctx.before);
  const behind = to.flatMap((_, k) => (equalDims(productOfDims(to.slice(0, k)), ahead) ? [k] : []));
  const own = behind.filter((k) => to[k] === 1);
  const free = own.includes(axis) ? axis : own.at(0);
  if (free !== undefined) return { axis: free, before: 1 };
  const rows = to.findIndex((_, k) => equalDims(productOfDims(to.slice(0, k + 1)), ahead));
  const rest = (shape: Shape, k: number) => shape.slice(k + 1);
  const isKept = rows >= 0 && equalShapes(rest(to, rows), rest(from, axis));
  if (rows >= 0 && (to.length === 2 || isKept || behind.length === 0)) return { axis: rows, before: to[rows] };
  const place = behind.at(0);
  return place === undefined
    ? ctx.fail('it puts elements of different samples into one row')
    : { axis: place, before: 1 };
}

const reshape: Rule = (ctx) => {
  const place = regrouped(ctx, alone(ctx));
  ctx.openAxis(place.axis);
  return place;
};

const squeeze: Rule = (ctx) => {
  const axis = alone(ctx);
  const shape = ctx.shape(0);
  const axes = ctx.has(1)
    ? ctx.contents(1)?.map((each) => from(each, shape.length))
    : shape.flatMap((dim, i) => (dim === 1 ? [i] : []));
  if (axes === undefined || axes.includes(axis)) return ctx.fail('it takes the batch axis away');
  return axis - axes.filter((each) => each < axis).length;
};

const unsqueeze: Rule = (ctx) => {
  const axis = alone(ctx);
  const rank = ctx.outputShape(0).length;
  const added = new Set(ctx.contents(1)?.map((each) => from(each, rank)) ?? ctx.fail('its axes are not known'));
  const kept = Array.from({ length: rank }, (_, i) => i).filter((i) => !added.has(i));
  return kept[axis];
};

const transpose: Rule = (ctx) => {
  const axis = alone(ctx);
  const rank = ctx.shape(0).length;
  const perm = ctx.node.attributes.ints('perm') ?? Array.from({ length: rank }, (_, i) => rank - 1 - i);
  return perm.indexOf(axis);
};

const concat: Rule = (ctx) => {
  const over = from(ctx.node.attributes.int('axis', 0), ctx.shape(0).length);
  const indices = ctx.node.inputs.map((_, i) => i);
  const places = new Set(indices.flatMap((i) => ctx.axis(i) ?? []));
  const [axis] = places;
  if (places.size > 1) ctx.fail('the samples of its inputs lie along different axes');
  if (axis === over) ctx.fail('it joins along the batch');
  for (const i of indices) if (ctx.axis(i) === undefined) ctx.expand(i, axis);
  return axis;
};

const gather: Rule = (ctx) => {
  const over = from(ctx.node.attributes.int('axis', 0), ctx.shape(0).length);
  const [data, indices] = [ctx.axis(0), ctx.axis(1)];
  if (data === undefined) return over + (indices ?? 0);
  if (indices !== undefined) ctx.fail('its indices would be different for every sample');
  if (data === over) ctx.fail('it picks samples of the batch');
  return data < over ? data : data - 1 + ctx.shape(1).length;
};

const slice: Rule = (ctx) => {
  const axis = alone(ctx);
  const axes = ctx.has(3) ? ctx.contents(3) : ctx.contents(1)?.map((_, i) => i);
  const used = axes?.map((each) => from(each, ctx.shape(0).length));
  return used === undefined || used.includes(axis) ? ctx.fail('it cuts samples out of the batch') : axis;
};

const pad: Rule = (ctx) => {
  const axis = alone(ctx);
  const rank = ctx.shape(0).length;
  const axes = (ctx.has(3) ? ctx.contents(3) : Array.from({ length: rank }, (_, i) => i))?.map((a) => from(a, rank));
  const pads = ctx.contents(1);
  const place = axes?.indexOf(axis) ?? -1;
  if (axes === undefined || pads === undefined) return ctx.fail('it may add samples: its pads are not known');
  if (place >= 0 && (pads[place] !== 0 || pads[place + axes.length] !== 0)) ctx.fail('it adds samples to the batch');
  return axis;
};

const tile: Rule = (ctx) => {
  const axis = alone(ctx);
  return ctx.contents(1)?.[axis] === 1 ? axis : ctx.fail('it repeats samples');
};

const expand: Rule = (ctx) => {
  const axis = alone(ctx) + ctx.outputShape(0).length - ctx.shape(0).length;
  const to = ctx.contents(1);
  const place = to === undefined ? undefined : axis - (ctx.outputShape(0).length - to.length);
  if (to === undefined || place === undefined || (place >= 0 && to[place] !== 1)) ctx.fail('it repeats samples');
  return axis;
};

const gemm: Rule = (ctx) => {
  const { attributes } = ctx.node;
  const [left, right] = [ctx.axis(0), ctx.axis(1)];
  const [rows, columns] = [attributes.int('transA', 0) === 1 ? 1 : 0, attributes.int('transB', 0) === 1 ? 0 : 1];
  const place = left === rows && right === undefined ? 0 : right === columns && left === undefined ? 1 : undefined;
  if (place === undefined) return ctx.fail('it sums over the batch');
  if (ctx.has(2)) {
    const bias = ctx.shape(2);
    const dim = bias.at(place - 2);
    if (ctx.axis(2) === undefined ? (dim ?? 1) !== 1 : ctx.axis(2) !== place - 2 + bias.length) {
      ctx.fail('its third input does not go along with the batch');
    }
  }
  return place;
};

/** [time, batch, …], or with layout 1 [batch, time, …]; states start the same for all samples. */
const recurrent: Rule = (ctx) => {
  const batchFirst = ctx.node.attributes.int('layout', 0) === 1;
  const [sequence, state] = batchFirst ? [0, 0] : [1, 1];
  if (ctx.axis(0) !== sequence) ctx.fail('its samples do not lie along its batch axis');
  for (const i of [1, 2, 3, 7]) if (ctx.has(i) && ctx.axis(i) !== undefined) ctx.fail('its weights would differ');
  for (const [i, place] of [
    [4, 0],
    [5, state],
    [6, state],
  ] as const) {
    if (!ctx.has(i)) continue;
    if (ctx.axis(i) === undefined) ctx.expand(i, place);
    else if (ctx.axis(i) !== place) ctx.fail('the samples of its inputs lie along different axes');
  }
  return [batchFirst ? 0 : 2, state, state];
};

const einsum: Rule = (ctx) => {
  const equation = ctx.node.attributes.string('equation', '').replace(/\s/g, '');
  if (equation.includes('.') || !equation.includes('->')) ctx.fail(`'${equation}' is not looked into`);
  const [inputs, output] = equation.split('->');
  const labels = inputs.split(',').flatMap((each, i) => {
    const axis = ctx.axis(i);
    return axis === undefined ? [] : [each[axis]];
  });
  const [label] = labels;
  const whole = inputs.split(',').every((each, i) => ctx.axis(i) !== undefined || !each.includes(label));
  if (new Set(labels).size > 1 || !whole) ctx.fail('it multiplies samples with one another');
  return output.includes(label) ? output.indexOf(label) : ctx.fail('it sums over the batch');
};

const instead = (ctx: BatchContext): never => ctx.fail('it is not known to keep samples apart');

const each = (names: string, rule: Rule): readonly (readonly [string, Rule])[] =>
  names.split(' ').map((name) => [name, rule] as const);

/** By `Node.key`. What is not listed is not known to keep samples apart. */
const RULES: ReadonlyMap<string, Rule> = new Map<string, Rule>([
  ...each(
    'Abs Acos Acosh Asin Asinh Atan Atanh BitwiseNot Cast Ceil Celu Clip Cos Cosh Dropout Elu Erf Exp Floor Gelu HardSigmoid ' +
      'HardSwish Identity IsInf IsNaN LeakyRelu Log Mish Neg Not QuickGelu com.microsoft::QuickGelu com.microsoft::Gelu ' +
      'Reciprocal Relu Round Selu Shrink Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Swish Tan Tanh ThresholdedRelu',
    alone,
  ),
  ...each(
    'Add And BitwiseAnd BitwiseOr BitwiseXor Div Equal Greater GreaterOrEqual Less LessOrEqual Max Mean Min Mod Mul Or PRelu ' +
      'Pow Sub Sum Where Xor com.microsoft::BiasGelu com.microsoft::FastGelu',
    elementwise,
  ),
  ...each(
    'AveragePool BatchNormalization Conv ConvTranspose DepthToSpace GlobalAveragePool GlobalLpPool GlobalMaxPool ' +
      'GroupNormalization InstanceNormalization LRN LpPool MaxPool Resize SpaceToDepth Upsample com.microsoft::FusedConv',
    imagesAlone,
  ),
  ...each('GridSample', images),
  ...each(
    'ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare',
    reduce,
  ),
  ...each('ArgMax ArgMin', arg),
  ...each('Softmax LogSoftmax Hardmax LpNormalization TopK', along('axis', -1)),
  ...each('LayerNormalization RMSNormalization SimplifiedLayerNormalization', along('axis', -1, 'after')),
  ...each('Split', along('axis', 0)),
  ['MatMul', (ctx) => product(ctx, [0, 1])],
  ['Gemm', gemm],
  ['Einsum', einsum],
  ['Reshape', reshape],
  ['Flatten', (ctx) => regrouped(ctx, alone(ctx))],
  ['Squeeze', squeeze],
  ['Unsqueeze', unsqueeze],
  ['Transpose', transpose],
  ['Concat', concat],
  ['Gather', gather],
  ['Slice', slice],
  ['Pad', pad],
  ['Tile', tile],
  ['Expand', expand],
  ['Trilu', (ctx) => (alone(ctx) < ctx.shape(0).length - 2 ? alone(ctx) : ctx.fail('it goes over the batch'))],
  ...each('GRU LSTM RNN', recurrent),
  ...each('com.microsoft::MatMulNBits com.microsoft::MatMulBnb4', along('axis', -1)),
]);

/** Where the samples lie in the outputs of a node that has a batch axis in at least one of its inputs. */
export function batchPlaces(ctx: BatchContext): readonly (BatchPlace | undefined)[] {
  const found = (RULES.get(ctx.node.key) ?? instead)(ctx);
  const placed = (axis: number | undefined) => (axis === undefined ? undefined : { axis, before: ctx.before });
  return ctx.node.outputs.map((_, i) => {
    if (typeof found === 'number') return placed(found);
    return 'axis' in found ? found : placed(found[i]);
  });
}
