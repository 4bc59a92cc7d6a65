import { composite } from '../entry/composite.js';
import type { GradientContext, Operator } from '../entry/operator.js';
import { DATA, SETTING } from '../entry/role.js';
import type { Node } from '../graph/node.js';
import type { Value } from '../graph/value.js';
import { requireDType } from '../model/dtype.js';
import { addDims, type Dim, equalDims, floorDivideDims, isStatic, multiplyDims, subtractDims } from '../shape/dim.js';
import type { Shape } from '../shape/shape.js';

const COMPLEX = 2;

/**
 * The discrete Fourier transform along one axis of [N, …, 1] or [N, …, 2], real or complex numbers, cut or filled up with
 * zeros to `dft_length`. It is linear and symmetric, so that its gradient is the transform the other way, without or with
 * the division by the length.
 */
export const DFT: Operator = {
  op: 'DFT',
  since: 17,
  roles: [DATA, SETTING],
  shape: 'values',
  infer(ctx) {
    const shape = ctx.shape(0);
    const { axis, inverse, onesided } = transformOf(ctx.node, shape);
    ctx.axis(axis, shape.length - 1);
    const given = ctx.has(1) ? (ctx.contents(1)?.[0] ?? ctx.unknownDim(1)) : undefined;
    const bins = onesided && inverse ? multiplyDims(subtractDims(shape[axis], 1), 2) : shape[axis];
    const length = given ?? bins;
    const half = onesided && !inverse ? addDims(floorDivideDims(length, 2), 1) : length;
    const numbers = onesided && inverse ? 1 : COMPLEX;
    return [{ dtype: ctx.dtype(0), shape: shape.with(axis, half).with(shape.length - 1, numbers) }];
  },
  gradient(ctx) {
    const { e, node } = ctx;
    const [x, dy] = [ctx.input(0), ctx.grad()];
    const shape = ctx.shape(x);
    const rank = shape.length;
    const { axis, inverse, onesided } = transformOf(node, shape);
    if (onesided && inverse) return ctx.fail('the gradient of the inverse of half a spectrum is not supported');
    if (!isStatic(shape[rank - 1])) {
      return ctx.fail(
        'whether its input is real or complex is known at run time only; fix the size of its last dimension',
      );
    }
    const given = ctx.has(1) ? ctx.input(1) : undefined;
    const length = given === undefined ? shape[axis] : (given.contents?.[0] ?? ctx.shape(ctx.output())[axis]);
    // Half a spectrum is filled up by the transform.
    const size = given ?? e.squeeze(e.node('Shape', [x], { start: axis, end: axis + 1 }), [0]);
    const back = e.node('DFT', [dy, isStatic(length) ? e.scalar(length, 'int64') : size], {
      axis,
      inverse: inverse ? 0 : 1,
    });
    const factor = isStatic(length)
      ? e.scalar(inverse ? 1 / length : length, back)
      : e.node(inverse ? 'Reciprocal' : 'Identity', [e.cast(size, back.dtype ?? 'float32')]);
    const whole = e.mul(back, factor);
    const parts = shape[rank - 1] === 1 ? e.slice(whole, { starts: [0], ends: [1], axes: [rank - 1] }) : whole;
    return [fitted(ctx, parts, axis, length), undefined];
  },
  upgrade({ node, opset, fail }) {
    if (opset < 20) return undefined;
    const rank = node.inputs[0]?.shape?.length ?? fail('the rank of its input is unknown');
    const given = node.inputs[2];
    const axis = given === undefined ? -2 : Number(given.contents?.[0] ?? fail('its axis is known at run time only'));
    node.attributes.set('axis', axis < 0 ? axis + rank : axis);
    node.inputs.splice(2);
    return undefined;
  },
};

interface Transform {
  readonly axis: number;
  readonly inverse: boolean;
  readonly onesided: boolean;
}

function transformOf({ attributes }: Node, shape: Shape): Transform {
  const axis = attributes.int('axis', 1);
  return {
    axis: axis < 0 ? axis + shape.length : axis,
    inverse: attributes.int('inverse', 0) === 1,
    onesided: attributes.int('onesided', 0) === 1,
  };
}

/** The cotangent of what was cut or filled up to `length` along an axis. */
function fitted(ctx: GradientContext, value: Value, axis: number, length: Dim): Value {
  const { e } = ctx;
  const shape = ctx.shape(ctx.input(0));
  const before = shape[axis];
  if (equalDims(before, length)) return e.assume(value, shape);
  const none = shape.map(() => 0);
  if (isStatic(before) && isStatic(length)) {
    if (before < length) return e.slice(value, { starts: [0], ends: [before], axes: [axis] });
    return e.node('Pad', [value, e.int64([...none, ...none.with(axis, before - length)])]);
  }
  const along = (x: Value) => e.node('Shape', [x], { start: axis, end: axis + 1 });
  const target = along(ctx.input(0));
  const cut = e.node('Slice', [value, e.int64([0]), target, e.int64([axis])]);
  const pads = [e.int64([...none, ...none.slice(0, axis)]), e.sub(target, along(cut)), e.int64(none.slice(axis + 1))];
  return e.assume(e.node('Pad', [cut, e.concat(pads, 0)]), shape);
}

/**
 * The Fourier transforms of windows into signals [N, length, 1] or [N, length, 2]: [N, frames, bins, 2]. Its definition
 * takes the frames and transforms them with DFT.
 */
export const STFT = composite({
  op: 'STFT',
  since: 17,
  roles: [DATA, SETTING, DATA, SETTING],
  shape: 'values',
  infer(ctx) {
    const [batch, length] = ctx.shape(0);
    const step = ctx.contents(1)?.[0];
    const size = ctx.has(3) ? ctx.contents(3)?.[0] : ctx.has(2) ? ctx.shape(2)[0] : undefined;
    const frames =
      size === undefined || step === undefined || !isStatic(step)
        ? ctx.unknownDim(1)
        : addDims(floorDivideDims(subtractDims(length, size), step), 1);
    const onesided = ctx.node.attributes.int('onesided', 1) === 1;
    const bins = size === undefined ? ctx.unknownDim(1) : onesided ? addDims(floorDivideDims(size, 2), 1) : size;
    return [{ dtype: ctx.dtype(0), shape: [batch, frames, bins, COMPLEX] }];
  },
  define(ctx) {
    const { e, node } = ctx;
    const x = ctx.input(0);
    const window = ctx.has(2) ? ctx.input(2) : undefined;
    const step = node.inputs[1]?.contents?.[0];
    const size = node.inputs[3]?.contents?.[0] ?? (window && ctx.shape(window)[0]);
    if (step === undefined || !isStatic(step) || size === undefined || !isStatic(size)) {
      return ctx.fail('its step or the length of its frames is known at run time only');
    }
    const [, length] = ctx.shape(x);
    const inside = Array.from({ length: size }, (_, i) => i);
    const starts = () => {
      if (isStatic(length)) {
        const count = Math.floor((length - size) / step) + 1;
        e.allow(count);
        return e.int64(Array.from({ length: count }, (_, i) => i * step));
      }
      const total = e.squeeze(e.node('Shape', [x], { start: 1, end: 2 }), [0]);
      const end = e.add(e.sub(total, e.scalar(size, 'int64')), e.scalar(1, 'int64'));
      return e.node('Range', [e.scalar(0, 'int64'), end, e.scalar(step, 'int64')]);
    };
    const frames = e.gather(x, e.add(e.unsqueeze(starts(), [1]), e.int64(inside)), 1);
    const weighted = window === undefined ? frames : e.mul(frames, e.unsqueeze(window, [1]));
    const y = e.node('DFT', [weighted], { axis: 2, onesided: node.attributes.int('onesided', 1) });
    return [e.assume(y, ctx.shape(node.outputs[0] ?? ctx.fail('it has no output')))];
  },
});

/** A vector of `size` weights that fall off towards the ends. */
function window(op: string): Operator {
  return {
    op,
    since: 17,
    shape: 'values',
    infer(ctx) {
      const { node } = ctx;
      const size = ctx.contents(0)?.[0] ?? ctx.unknownDim(0);
      return [{ dtype: requireDType(node.attributes.int('output_datatype', 1), node.label), shape: [size] }];
    },
    gradient: 'none',
  };
}

export const BlackmanWindow = window('BlackmanWindow');

export const HammingWindow = window('HammingWindow');

export const HannWindow = window('HannWindow');

/** The weights that turn a spectrum [dft_length / 2 + 1] into `num_mel_bins` bands. */
export const MelWeightMatrix: Operator = {
  op: 'MelWeightMatrix',
  since: 17,
  shape: 'values',
  infer(ctx) {
    const { node } = ctx;
    const [bands, length] = [ctx.contents(0)?.[0], ctx.contents(1)?.[0]];
    const rows = length === undefined ? ctx.unknownDim() : addDims(floorDivideDims(length, 2), 1);
    const dtype = requireDType(node.attributes.int('output_datatype', 1), node.label);
    return [{ dtype, shape: [rows, bands ?? ctx.unknownDim()] }];
  },
  gradient: 'none',
};
