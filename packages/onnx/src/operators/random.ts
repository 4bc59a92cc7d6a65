import { dropping, setInput } from '../entry/older-form.js';
import type { DrawnContext, GradientContext, InferContext, Operator } from '../entry/operator.js';
import { DATA, role } from '../entry/role.js';
import type { Emitter } from '../graph/emitter.js';
import type { Node } from '../graph/node.js';
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
  drawn(ctx) {
    const { e } = ctx;
    const x = ctx.input(0);
    const dtype = x.dtype ?? 'float32';
    const rate = rateOf(ctx.node);
    if (rate !== undefined) {
      const factor = ctx.draw({ distribution: 'dropout', rate });
      return [e.mul(x, e.cast(factor, dtype)), e.cast(factor, 'bool')];
    }
    const given = ctx.input(1);
    const kept = e.greaterOrEqual(ctx.draw({ distribution: 'uniform' }), e.cast(given, 'float32'));
    const scale = e.sub(e.scalar(1, dtype), e.cast(given, dtype));
    return [e.div(e.mul(x, e.cast(kept, dtype)), scale), kept];
  },
  /** Outside training, and where nothing is dropped. */
  isStill: (node) =>
    trainingMode(node.inputs[2]?.constant) === false || node.inputs[2] === undefined || rateOf(node) === 0,
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

/** The rate of a dropout; undefined when it is decided at run time. */
function rateOf({ inputs: [, ratio] }: Node): number | undefined {
  return ratio === undefined ? 0.5 : ratio.constant?.toNumbers()[0];
}

/** 1 / (1 − ratio), of the dtype of dy. */
function keptScale(ctx: GradientContext, dy: Value): Value {
  const { e } = ctx;
  const ratio = rateOf(ctx.node);
  if (ratio !== undefined) return e.scalar(1 / (1 - ratio), dy);
  const given = e.cast(ctx.input(1), dy.dtype ?? 'float32');
  return e.div(e.scalar(1, dy), e.sub(e.scalar(1, dy), given));
}

/** Draws 1 with the probability that the input says, else 0; no gradient goes through the draw. */
export const Bernoulli = randomLikeInput('Bernoulli', 15, (ctx) => {
  const { e } = ctx;
  return e.less(ctx.draw({ distribution: 'uniform' }), e.cast(ctx.input(0), 'float32'));
});

/** Normally distributed random numbers, of a shape given as an attribute. */
export const RandomNormal = randomOfShape('RandomNormal', normal);

/** Normally distributed random numbers of the shape of the input, on whose values they do not depend. */
export const RandomNormalLike = randomLikeInput('RandomNormalLike', 1, normal);

/** Uniformly distributed random numbers, of a shape given as an attribute. */
export const RandomUniform = randomOfShape('RandomUniform', uniform);

/** Uniformly distributed random numbers of the shape of the input, on whose values they do not depend. */
export const RandomUniformLike = randomLikeInput('RandomUniformLike', 1, uniform);

function normal({ node: { attributes }, e, draw }: DrawnContext): Value {
  return affine(e, draw({ distribution: 'normal' }), attributes.float('scale', 1), attributes.float('mean', 0));
}

function uniform({ node: { attributes }, e, draw }: DrawnContext): Value {
  const [low, high] = [attributes.float('low', 0), attributes.float('high', 1)];
  return affine(e, draw({ distribution: 'uniform' }), high - low, low);
}

/** factor · x + term */
function affine(e: Emitter, x: Value, factor: number, term: number): Value {
  const scaled = e.scale(x, factor);
  return term === 0 ? scaled : e.add(scaled, e.scalar(term, x));
}

type Drawn = (ctx: DrawnContext) => Value;

/** One output, in the dtype of the node. */
function cast(drawn: Drawn): (ctx: DrawnContext) => readonly Value[] {
  return (ctx) => [ctx.e.cast(drawn(ctx), ctx.node.outputs[0]?.dtype ?? 'float32')];
}

/** A tensor of random numbers of a shape given as an attribute. */
function randomOfShape(op: string, drawn: Drawn): Operator {
  return {
    op,
    since: 1,
    draws: true,
    drawn: cast(drawn),
    infer: (ctx) => [{ dtype: dtypeOf(ctx) ?? 'float32', shape: ctx.node.attributes.ints('shape', []) }],
    gradient: 'none',
  };
}

/** A tensor of random numbers of the shape of its input, on whose values it does not depend. */
function randomLikeInput(op: string, since: number, drawn: Drawn): Operator {
  return {
    op,
    since,
    draws: true,
    drawn: cast(drawn),
    infer: (ctx) => [{ dtype: dtypeOf(ctx) ?? ctx.dtype(0), shape: ctx.shape(0) }],
    gradient: 'zero',
  };
}

function dtypeOf({ node }: InferContext): DType | undefined {
  const code = node.attributes.int('dtype');
  return code === undefined ? undefined : requireDType(code, node.label);
}
