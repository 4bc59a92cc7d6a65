import { floatToInput, intsToInput } from '../entry/older-form.js';
import type { GradientContext, InferContext, Operator, UpgradeContext } from '../entry/operator.js';
import { DATA, role, SETTING } from '../entry/role.js';
import type { Emitter } from '../graph/emitter.js';
import type { Value } from '../graph/value.js';
import { addDims, type Dim, isStatic } from '../shape/dim.js';
import { normalizeAxis } from '../shape/shape.js';

/**
 * Puts elements before and after a value along some axes: a constant (0 unless given), the border repeated ("edge"), or
 * the inside mirrored at the border ("reflect"). Negative numbers cut.
 */
export const Pad: Operator = {
  op: 'Pad',
  since: 18,
  roles: [DATA, SETTING, role('setting', 'a padding value'), SETTING],
  early: [{ before: 2, upgrade: renamedPads }],
  shape: 'values',
  notes: 'mode wrap becomes copies',
  infer(ctx) {
    const shape = ctx.shape(0);
    const mode = ctx.node.attributes.string('mode', 'constant');
    if (mode !== 'constant' && !(mode in FOLDS)) {
      ctx.fail(`mode '${mode}' is not known at opset 18; use constant, reflect or edge`);
    }
    const padding = readPadding(ctx, shape.length);
    if (padding === undefined) return [{ dtype: ctx.dtype(0), shape: shape.map(() => ctx.unknownDim(0)) }];
    return [
      { dtype: ctx.dtype(0), shape: shape.map((dim, i) => addDims(dim, addDims(padding.before[i], padding.after[i]))) },
    ];
  },
  gradient(ctx) {
    const mode = ctx.node.attributes.string('mode', 'constant');
    return mode === 'constant' ? constantGradient(ctx) : [ctx.needs(0) ? foldBack(ctx, FOLDS[mode]) : undefined];
  },
  upgrade(ctx) {
    if (ctx.node.attributes.string('mode', 'constant') === 'wrap') return [wrapped(ctx)];
    if (ctx.opset >= 11) return undefined;
    intsToInput(ctx, 'pads', 1);
    floatToInput(ctx, 'value', 2);
    return undefined;
  },
};

/** Mode wrap, of opset 19: the value goes round, so what comes before it is its end. */
function wrapped(ctx: UpgradeContext): Value {
  const { e, node, fail } = ctx;
  const input = (index: number) => node.inputs[index] ?? fail(`lacks input ${index}`);
  const x = input(0);
  const shape = x.shape ?? fail(`pads '${x.name}', whose rank is unknown`);
  const padding = readPadding({ has: (index) => node.inputs[index] !== undefined, input, fail }, shape.length);
  return shape.reduce((value: Value, length, axis) => {
    const [before, after] = [padding?.before[axis], padding?.after[axis]];
    if (before === undefined || after === undefined || !isStatic(before) || !isStatic(after)) {
      return fail('goes round by lengths that are known at run time only; export the model with constant pads');
    }
    if (before < 0 || after < 0) return fail('cuts and goes round at once; export the model with pads from 0 up');
    if (before === 0 && after === 0) return value;
    if (isStatic(length)) {
      e.allow(before + length + after);
      const places = Array.from({ length: before + length + after }, (_, i) => (i - before + before * length) % length);
      return e.gather(value, e.int64(places), axis);
    }
    const part = (start: number, end: number) => e.slice(value, { starts: [start], ends: [end], axes: [axis] });
    const copies = [...(before > 0 ? [part(-before, TO_THE_END)] : []), value, ...(after > 0 ? [part(0, after)] : [])];
    return e.concat(copies, axis);
  }, x);
}

interface Padding {
  readonly before: readonly Dim[];
  readonly after: readonly Dim[];
}

/** The padding of every axis; undefined when it is known at run time only. */
function readPadding(ctx: Pick<InferContext, 'has' | 'input' | 'fail'>, rank: number): Padding | undefined {
  const pads = ctx.input(1).contents;
  const listed = ctx.has(3) ? ctx.input(3).contents : Array.from({ length: rank }, (_, i) => i);
  if (pads === undefined || listed?.every(isStatic) !== true) return undefined;
  if (pads.length !== 2 * listed.length) ctx.fail(`it has ${pads.length} pads for ${listed.length} axes`);
  const [before, after] = [new Array<Dim>(rank).fill(0), new Array<Dim>(rank).fill(0)];
  for (const [i, given] of listed.entries()) {
    const axis = normalizeAxis(given, rank) ?? ctx.fail(`axis ${given} is outside a tensor of rank ${rank}`);
    before[axis] = pads[i];
    after[axis] = pads[listed.length + i];
  }
  return { before, after };
}

/** dx is dy with the padding cut off, which is padding by the negative amounts; what was cut gets zeros. */
function constantGradient(ctx: GradientContext): readonly (Value | undefined)[] {
  const { e } = ctx;
  const [x, dy] = [ctx.input(0), ctx.grad()];
  const axes = ctx.has(3) ? ctx.input(3) : undefined;
  const back = () => {
    const pads = ctx.input(1);
    const { contents } = pads;
    const negative = contents?.every(isStatic) === true ? e.int64(contents.map((pad) => -pad)) : e.neg(pads);
    return e.assume(e.node('Pad', axes === undefined ? [dy, negative] : [dy, negative, undefined, axes]), ctx.shape(x));
  };
  /** The constant's cotangent: the sum of dy where the padding is. */
  const fill = () => {
    const inputs = [e.zerosLike(x), ctx.input(1), e.scalar(1, dy), axes];
    const outside = e.node('Pad', axes === undefined ? inputs.slice(0, 3) : inputs);
    return e.reshapeLike(e.reduceSum(e.mul(dy, outside)), ctx.input(2));
  };
  return [ctx.needs(0) ? back() : undefined, undefined, ctx.needs(2) ? fill() : undefined];
}

/** Slice bounds this large mean "to the end". */
const TO_THE_END = Number.MAX_SAFE_INTEGER;

/** How the cotangents of the copies beyond a border are added to those of the elements they are copies of. */
interface Fold {
  /** How far from the border the elements lie that were copied. */
  readonly distance: number;
  /** How many of them there are for `count` copies. */
  length(count: number): number;
  /** What the cotangent of the copies adds to theirs. */
  sum(e: Emitter, copies: Value, axis: number): Value;
}

const FOLDS: Readonly<Record<string, Fold>> = {
  // The elements next to the border one, in reverse.
  reflect: {
    distance: 1,
    length: (count) => count,
    sum: (e, copies, axis) => e.slice(copies, { starts: [-1], ends: [-TO_THE_END], axes: [axis], steps: [-1] }),
  },
  // The border element, again and again.
  edge: {
    distance: 0,
    length: () => 1,
    sum: (e, copies, axis) => e.reduceSum(copies, [axis], { keepdims: true }),
  },
};

/** The cotangent of x: padding is copying axis by axis, so the copies are folded back axis by axis. */
function foldBack(ctx: GradientContext, fold: Fold): Value {
  const x = ctx.input(0);
  const rank = ctx.shape(x).length;
  const padding = readPadding(ctx, rank);
  let dx = ctx.grad();
  for (let axis = 0; axis < rank; axis++) {
    const [before, after] = [padding?.before[axis], padding?.after[axis]];
    if (before === undefined || after === undefined || !isStatic(before) || !isStatic(after)) {
      return ctx.fail('how much it pads is known at run time only; export the model with constant pads');
    }
    if (before < 0 || after < 0) return ctx.fail('it cuts and copies at once; export the model with pads from 0 up');
    dx = foldAxis(ctx.e, dx, axis, before, after, fold);
  }
  return ctx.e.assume(dx, ctx.shape(x));
}

function foldAxis(e: Emitter, dy: Value, axis: number, before: number, after: number, fold: Fold): Value {
  if (before === 0 && after === 0) return dy;
  const part = (x: Value, start: number, end: number) => e.slice(x, { starts: [start], ends: [end], axes: [axis] });
  const addBetween = (x: Value, start: number, end: number, copies: Value) => {
    const sum = e.add(part(x, start, end), fold.sum(e, copies, axis));
    const parts = [
      ...(start === 0 ? [] : [part(x, 0, start)]),
      sum,
      ...(end === TO_THE_END ? [] : [part(x, end, TO_THE_END)]),
    ];
    return e.concat(parts, axis);
  };
  // Counting from the nearer end keeps the length of the axis free.
  const { distance, length } = fold;
  let dx = part(dy, before, after === 0 ? TO_THE_END : -after);
  if (before > 0) dx = addBetween(dx, distance, distance + length(before), part(dy, 0, before));
  if (after > 0) {
    const end = distance === 0 ? TO_THE_END : -distance;
    dx = addBetween(dx, -distance - length(after), end, part(dy, -after, TO_THE_END));
  }
  return dx;
}

function renamedPads({ node }: UpgradeContext): void {
  const pads = node.attributes.ints('paddings');
  node.attributes.delete('paddings');
  if (pads !== undefined) node.attributes.set('pads', pads);
}
