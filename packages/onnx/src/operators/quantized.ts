import { composite } from '../entry/composite.js';
import type { DefinitionContext, InferContext, Operator } from '../entry/operator.js';
import { DATA, role } from '../entry/role.js';
import type { Value, ValueInfo } from '../graph/value.js';
import { type DType, dtypeFromCode, isDifferentiable } from '../model/dtype.js';
import { isStatic } from '../shape/dim.js';
import { normalizeAxis } from '../shape/shape.js';
import { Conv } from './convolution.js';
import { MatMul } from './linear-algebra.js';

const QUANTIZATION = role('setting', 'quantization parameters');
const QUANTIZED = {
  what: 'it computes with quantized numbers',
  hint: 'train the float model that this one was made from, and quantize that again',
};

/** round(x / scale) + zero point, saturated. No straight-through estimate: its derivative is zero. */
export const QuantizeLinear: Operator = {
  op: 'QuantizeLinear',
  since: 13,
  roles: [DATA, QUANTIZATION],
  notes: 'no blocks; no straight-through estimate',
  infer: (ctx) => [{ dtype: ctx.has(2) ? ctx.dtype(2) : 'uint8', shape: ctx.shape(0) }],
  gradient: 'zero',
  upgrade({ node, fail }) {
    const { attributes } = node;
    if (attributes.int('block_size', 0) !== 0) fail('has a scale for each block, which opset 18 cannot express');
    const to = attributes.int('output_dtype', 0);
    if (node.inputs[2] === undefined && to !== 0 && dtypeFromCode(to) !== 'uint8') {
      fail('names the type of its result, which opset 18 takes from a zero point; export the model with one');
    }
    for (const name of ['block_size', 'output_dtype', 'precision', 'saturate']) attributes.delete(name);
    return undefined;
  },
};

/**
 * y = (x − zero point) · scale for integers x, the scale being one number, a vector along `axis`, or (from opset 21) of the
 * rank of x with one number for every `block_size` elements along `axis`.
 */
export const DequantizeLinear = composite({
  op: 'DequantizeLinear',
  since: 13,
  roles: [DATA, QUANTIZATION],
  infer(ctx) {
    const to = ctx.node.attributes.int('output_dtype', 0);
    return [{ dtype: to === 0 ? ctx.dtype(1) : dtypeFromCode(to), shape: ctx.shape(0) }];
  },
  /** Opset 21 brought numbers for blocks, and outputs of another dtype than the scales. */
  beyondOpset: ({ attributes }) => attributes.int('block_size', 0) !== 0 || attributes.int('output_dtype', 0) !== 0,
  define(ctx) {
    const { e, node } = ctx;
    const [x, scale] = [ctx.input(0), ctx.input(1)];
    if (node.attributes.int('block_size', 0) !== 0) return [dequantizedBlocks(ctx)];
    const to = node.attributes.int('output_dtype', 0);
    if (to !== 0) {
      const inputs = ctx.has(2) ? [x, scale, ctx.input(2)] : [x, scale];
      const y = e.node('DequantizeLinear', inputs, { axis: node.attributes.int('axis') });
      return [e.cast(y, requireOutput(ctx, dtypeFromCode(to)))];
    }
    const dtype = scale.dtype ?? 'float32';
    const rank = ctx.shape(x).length;
    const given = node.attributes.int('axis', 1);
    const axis = given < 0 ? given + rank : given;
    const along = (value: typeof x) =>
      ctx.shape(value).length === 0
        ? value
        : e.unsqueeze(
            value,
            Array.from({ length: rank - axis - 1 }, (_, i) => 1 + i),
          );
    const offset = ctx.has(2) ? e.sub(e.cast(x, dtype), along(e.cast(ctx.input(2), dtype))) : e.cast(x, dtype);
    return [e.mul(offset, along(scale))];
  },
  upgrade({ node: { attributes } }) {
    // 0 is what their absence means.
    for (const name of ['block_size', 'output_dtype']) if (attributes.int(name, 0) === 0) attributes.delete(name);
    return undefined;
  },
});

/** Each number with the scale and the zero point of its block. */
function dequantizedBlocks(ctx: DefinitionContext): Value {
  const { e, node } = ctx;
  const { attributes } = node;
  const [x, scale] = [ctx.input(0), ctx.input(1)];
  const to = attributes.int('output_dtype', 0);
  const dtype = requireOutput(ctx, to === 0 ? scale.dtype : dtypeFromCode(to));
  const shape = ctx.shape(x);
  const axis = normalizeAxis(attributes.int('axis', 1), shape.length) ?? ctx.fail('its axis is outside its input');
  const length = shape[axis];
  const block = attributes.int('block_size', 0);
  const whole = (value: number) => e.scalar(value, 'int64');
  const end = () => e.gather(e.shapeOf(x), whole(axis));
  if (isStatic(length)) e.allow(length);
  const places = isStatic(length)
    ? e.int64(Array.from({ length }, (_, i) => Math.floor(i / block)))
    : e.div(e.node('Range', [whole(0), end(), whole(1)]), whole(block));
  const spread = (value: Value) => e.gather(e.cast(value, dtype), places, axis);
  const numbers = e.cast(x, dtype);
  return e.mul(ctx.has(2) ? e.sub(numbers, spread(ctx.input(2))) : numbers, spread(scale));
}

function requireOutput(ctx: DefinitionContext, dtype: DType | undefined): DType {
  return dtype !== undefined && isDifferentiable(dtype) ? dtype : ctx.fail('its output is of an unknown type');
}

/** x in 8 bits, with the scale and the zero point that its range asks for. */
export const DynamicQuantizeLinear: Operator = {
  op: 'DynamicQuantizeLinear',
  since: 11,
  obstacle: QUANTIZED,
  infer: (ctx) => [
    { dtype: 'uint8', shape: ctx.shape(0) },
    { dtype: 'float32', shape: [] },
    { dtype: 'uint8', shape: [] },
  ],
  gradient: 'none',
};

/**
 * An operator on two quantized values, each followed by its scale and zero point; those of the result come after them.
 * Its shape is that of the operator on floats.
 */
function quantized(op: string, floats: Operator): Operator {
  const infer = (ctx: InferContext): readonly ValueInfo[] => {
    const place = (index: number) => (index === 1 ? 3 : index);
    return floats.infer({
      ...ctx,
      inputCount: 2,
      shape: (index) => ctx.shape(place(index)),
      rank: (index) => ctx.rank(place(index)),
      commonDtype: () => ctx.dtype(7),
    });
  };
  return { op, since: 10, obstacle: QUANTIZED, infer, gradient: 'none' };
}

export const QLinearConv = quantized('QLinearConv', Conv);

export const QLinearMatMul = quantized('QLinearMatMul', MatMul);

/** A convolution of 8-bit values, in 32 bits. */
export const ConvInteger: Operator = {
  op: 'ConvInteger',
  since: 10,
  obstacle: QUANTIZED,
  infer: (ctx) => Conv.infer({ ...ctx, commonDtype: () => 'int32' }),
  gradient: 'none',
};

/** A product of 8-bit matrices, in 32 bits. */
export const MatMulInteger: Operator = {
  op: 'MatMulInteger',
  since: 10,
  obstacle: QUANTIZED,
  infer: (ctx) => MatMul.infer({ ...ctx, commonDtype: () => 'int32' }),
  gradient: 'none',
};
