import type { Value } from '../graph/value.js';
import type { Tensor } from '../model/tensor.js';
import type { GradientContext, Operator } from './operator.js';
import { setInput } from './upgrade.js';

/**
 * In training, each element is 0 with probability `ratio` (default 0.5), else scaled by 1 / (1 − ratio); otherwise
 * y = x. The backward pass uses the mask that the forward pass drew.
 */
export const Dropout: Operator = {
  op: 'Dropout',
  since: 13,
  infer: (ctx) => [
    { dtype: ctx.dtype(0), shape: ctx.shape(0) },
    { dtype: 'bool', shape: ctx.shape(0) },
  ],
  gradient(ctx) {
    const { e } = ctx;
    const dy = ctx.grad();
    const training = ctx.has(2) ? trainingMode(ctx.constant(2)) : false;
    if (training === false) return [dy];
    const kept = e.where(ctx.output(1), dy, e.scalar(0, dy));
    const scaled = e.mul(kept, keptScale(ctx, dy));
    // Outside training the mask is all true, but nothing was scaled.
    return [training === true ? scaled : e.where(ctx.input(2), scaled, dy)];
  },
  upgrade(ctx) {
    const { node, opset, e } = ctx;
    const ratio = node.attributes.float('ratio');
    if (opset >= 12 || ratio === undefined) return undefined;
    setInput(ctx, 1, e.scalar(ratio, 'float32'));
    node.attributes.delete('ratio');
    return undefined;
  },
};

/** True, false, or undefined when it is decided at run time. */
function trainingMode(constant: Tensor | undefined): boolean | undefined {
  const mode = constant?.toNumbers()[0];
  return mode === undefined ? undefined : mode !== 0;
}

/** 1 / (1 − ratio), of the dtype of dy. */
function keptScale(ctx: GradientContext, dy: Value): Value {
  const { e } = ctx;
  const ratio = ctx.has(1) ? ctx.constant(1)?.toNumbers()[0] : 0.5;
  if (ratio !== undefined) return e.scalar(1 / (1 - ratio), dy);
  const given = e.cast(ctx.input(1), dy.dtype ?? 'float32');
  return e.div(e.scalar(1, dy), e.sub(e.scalar(1, dy), given));
}
