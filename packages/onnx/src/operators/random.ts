import { dropping, setInput } from '../entry/older-form.js';
import type { GradientContext, InferContext, Operator } from '../entry/operator.js';
import { DATA, role } from '../entry/role.js';
import type { Value } from '../graph/value.js';
import { type DType, requireDType } from '../model/dtype.js';
import { Tensor } from '../model/tensor.js';

/**
 * In training, each element is 0 with probability `ratio` (default 0.5), else scaled by 1 / (1 − ratio); otherwise
 * y = x. The backward pass uses the mask that the forward pass drew.
 */
export const Dropout: Operator = {
  op: 'Dropout',
  since: 13,
  roles: [DATA, role('setting', 'a rate of dropout')],
  draws: true,
  followsHead: true,
  early: [dropping(7, 'is_test')],
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
  /** Keeps the ratio; whether it drops anything is its third input. */
  setMode({ node, e, training }) {
    const mode = e.constant(
      Tensor.of('bool', [], Uint8Array.of(training ? 1 : 0)),
      `training_mode_${training ? 1 : 0}`,
    );
    while (node.inputs.length < 3) node.inputs.push(undefined);
    node.inputs[2] = mode;
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

/** Draws 1 with the probability that the input says, else 0; no gradient goes through the draw. */
export const Bernoulli = randomLikeInput('Bernoulli', 15);

/** Normally distributed random numbers, of a shape given as an attribute. */
export const RandomNormal = randomOfShape('RandomNormal');

/** Normally distributed random numbers of the shape of the input, on whose values they do not depend. */
export const RandomNormalLike = randomLikeInput('RandomNormalLike');

/** Uniformly distributed random numbers, of a shape given as an attribute. */
export const RandomUniform = randomOfShape('RandomUniform');

/** Uniformly distributed random numbers of the shape of the input, on whose values they do not depend. */
export const RandomUniformLike = randomLikeInput('RandomUniformLike');

/** A tensor of random numbers of a shape given as an attribute. */
function randomOfShape(op: string): Operator {
  return {
    op,
    since: 1,
    draws: true,
    infer: (ctx) => [{ dtype: dtypeOf(ctx) ?? 'float32', shape: ctx.node.attributes.ints('shape', []) }],
    gradient: 'none',
  };
}

/** A tensor of random numbers of the shape of its input, on whose values it does not depend. */
function randomLikeInput(op: string, since = 1): Operator {
  return {
    op,
    since,
    draws: true,
    infer: (ctx) => [{ dtype: dtypeOf(ctx) ?? ctx.dtype(0), shape: ctx.shape(0) }],
    gradient: 'zero',
  };
}

function dtypeOf({ node }: InferContext): DType | undefined {
  const code = node.attributes.int('dtype');
  return code === undefined ? undefined : requireDType(code, node.label);
}
