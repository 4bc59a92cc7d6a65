import { composite, likeInput, likeInputAlongAxis } from '../entry/composite.js';
import type { DefinitionContext, GradientContext, Operator } from '../entry/operator.js';
import { BIAS, DATA, GAIN } from '../entry/role.js';
import { alongChannels, axesFrom, mean, standardize } from '../entry/standardize.js';
import type { Value } from '../graph/value.js';
import { equalDims } from '../shape/dim.js';

/**
 * y = scale · x̂ + bias with x̂ = (x − E x) / √(Var x + ε), over the axes from `axis` to the last.
 * With g = dy · scale and r = 1 / √(Var x + ε): dx = r (g − E g − x̂ E[g x̂]).
 */
export const LayerNormalization: Operator = {
  op: 'LayerNormalization',
  since: 17,
  roles: [DATA, GAIN, BIAS],
  mixes: true,
  infer(ctx) {
    const shape = ctx.shape(0);
    const axis = ctx.axis(ctx.node.attributes.int('axis', -1), shape.length);
    const reduced = { dtype: 'float32' as const, shape: shape.map((dim, i) => (i < axis ? dim : 1)) };
    return [{ dtype: ctx.dtype(0), shape }, reduced, reduced];
  },
  gradient(ctx) {
    if (ctx.hasGrad(1) || ctx.hasGrad(2)) return ctx.pullback(definition);
    const { e } = ctx;
    const [x, scale, dy] = [ctx.input(0), ctx.input(1), ctx.grad()];
    const axes = normalizedAxes(ctx);
    const { standardized, inverse } = statistics(ctx, axes);
    const g = e.mul(dy, scale);
    const centered = e.sub(g, mean(e, g, axes));
    const dx = () => e.mul(inverse, e.sub(centered, e.mul(standardized, mean(e, e.mul(g, standardized), axes))));
    return [
      ctx.needs(0) ? e.assume(dx(), ctx.shape(x)) : undefined,
      ctx.needs(1) ? ctx.unbroadcast(e.mul(dy, standardized), 1) : undefined,
      ctx.needs(2) ? ctx.unbroadcast(dy, 2) : undefined,
    ];
  },
};

function normalizedAxes(ctx: DefinitionContext): readonly number[] {
  const rank = ctx.shape(ctx.input(0)).length;
  const axis = ctx.node.attributes.int('axis', -1);
  return axesFrom(axis < 0 ? axis + rank : axis, rank);
}

/** x̂ and r, from what the forward node found where that is as exact as x. */
function statistics(ctx: GradientContext, axes: readonly number[]): { standardized: Value; inverse: Value } {
  const { e } = ctx;
  const x = ctx.input(0);
  if (x.dtype === 'float32') {
    const inverse = ctx.output(2);
    return { standardized: e.mul(e.sub(x, ctx.output(1)), inverse), inverse };
  }
  return standardize(e, x, axes, epsilonOf(ctx));
}

function definition(ctx: DefinitionContext): readonly Value[] {
  const { e } = ctx;
  const x = ctx.input(0);
  const found = standardize(e, x, normalizedAxes(ctx), epsilonOf(ctx));
  const scaled = e.mul(found.standardized, ctx.input(1));
  return [
    ctx.has(2) ? e.add(scaled, ctx.input(2)) : scaled,
    e.cast(found.mean, 'float32'),
    e.cast(found.inverse, 'float32'),
  ];
}

function epsilonOf({ node }: DefinitionContext): number {
  return node.attributes.float('epsilon', 1e-5);
}

/** y = scale · x / √(E x² + ε) over the axes from `axis` to the last. */
export const RMSNormalization = rootMeanSquare('RMSNormalization', 23);

/** As ONNX Runtime called it before opset 23, in the default domain all the same. */
export const SimplifiedLayerNormalization = rootMeanSquare('SimplifiedLayerNormalization', 1);

function rootMeanSquare(op: string, since: number): Operator {
  return composite({
    op,
    since,
    roles: [DATA, GAIN],
    mixes: true,
    beyondOpset: () => true,
    infer: likeInputAlongAxis,
    define(ctx) {
      const { e, node } = ctx;
      const x = ctx.input(0);
      const rank = ctx.shape(x).length;
      const axis = node.attributes.int('axis', -1);
      const square = mean(e, e.square(x), axesFrom(axis < 0 ? axis + rank : axis, rank));
      const root = e.sqrt(e.add(square, e.scalar(node.attributes.float('epsilon', 1e-5), x)));
      return [e.mul(e.div(x, root), ctx.input(1))];
    },
  });
}

/**
 * y = scale · x̂ + bias, with x̂ standardized over each group of channels of a sample. Scale and bias are one number a
 * channel (the form of opset 21) or one a group (of opset 18, which is deprecated): their length tells.
 */
export const GroupNormalization = composite({
  op: 'GroupNormalization',
  since: 18,
  roles: [DATA, GAIN, BIAS],
  mixes: true,
  infer: likeInput,
  define(ctx) {
    const { e, node } = ctx;
    const [x, scale, bias] = [ctx.input(0), ctx.input(1), ctx.input(2)];
    const shape = ctx.shape(x);
    const groups = node.attributes.int('num_groups') ?? ctx.fail("attribute 'num_groups' is missing");
    const { standardized } = standardize(e, e.reshape(x, [0, groups, -1]), [2], node.attributes.float('epsilon', 1e-5));
    if (equalDims(ctx.shape(scale)[0], shape[1])) {
      const scaled = e.mul(e.reshapeLike(standardized, x), alongChannels(e, scale, shape.length));
      return [e.add(scaled, alongChannels(e, bias, shape.length))];
    }
    const scaled = e.mul(standardized, alongChannels(e, scale, 3));
    return [e.reshapeLike(e.add(scaled, alongChannels(e, bias, 3)), x)];
  },
});

/** y = scale · x̂ + bias, with x̂ standardized over the spatial axes of each sample and channel. */
export const InstanceNormalization = composite({
  op: 'InstanceNormalization',
  since: 6,
  roles: [DATA, GAIN, BIAS],
  mixes: true,
  infer: likeInput,
  define(ctx) {
    const { e } = ctx;
    const x = ctx.input(0);
    const rank = ctx.shape(x).length;
    const { standardized } = standardize(e, x, axesFrom(2, rank), ctx.node.attributes.float('epsilon', 1e-5));
    const scaled = e.mul(standardized, alongChannels(e, ctx.input(1), rank));
    return [e.add(scaled, alongChannels(e, ctx.input(2), rank))];
  },
});

/** y = (x − E x) / (√Var x + 10⁻⁹) over `axes`, by default all but the channels of a batch of images. */
export const MeanVarianceNormalization = composite({
  op: 'MeanVarianceNormalization',
  since: 13,
  mixes: true,
  infer(ctx) {
    for (const axis of ctx.node.attributes.ints('axes', [0, 2, 3])) ctx.axis(axis, ctx.rank(0));
    return likeInput(ctx);
  },
  define(ctx) {
    const { e } = ctx;
    const x = ctx.input(0);
    const axes = ctx.node.attributes.ints('axes', [0, 2, 3]);
    const centered = e.sub(x, mean(e, x, axes));
    const deviation = e.sqrt(mean(e, e.square(centered), axes));
    return [e.div(centered, e.add(deviation, e.scalar(1e-9, x)))];
  },
});

/** y = x / ‖x‖ along one axis, in the 1-norm or the 2-norm; 0 where the norm is 0. */
export const LpNormalization = composite({
  op: 'LpNormalization',
  since: 1,
  mixes: true,
  infer: likeInputAlongAxis,
  define(ctx) {
    const { e, node } = ctx;
    const x = ctx.input(0);
    const p = node.attributes.int('p', 2);
    if (p !== 1 && p !== 2) ctx.fail(`p is ${p}; the 1-norm and the 2-norm are defined`);
    const norm = e.node(p === 1 ? 'ReduceL1' : 'ReduceL2', [x, e.int64([node.attributes.int('axis', -1)])]);
    return [e.div(x, e.where(e.equal(norm, e.scalar(0, x)), e.scalar(1, x), norm))];
  },
});

/** Large enough to mean "to the end" in a slice. */
const END = Number.MAX_SAFE_INTEGER;

/** y = x / (bias + α / size · Σ x²)^β, the sum over the `size` channels around each. */
export const LRN = composite({
  op: 'LRN',
  since: 13,
  mixes: true,
  infer: likeInput,
  define(ctx) {
    const { e } = ctx;
    const x = ctx.input(0);
    const { attributes } = ctx.node;
    const size = attributes.int('size') ?? ctx.fail("attribute 'size' is missing");
    const [before, after] = [Math.floor((size - 1) / 2), Math.ceil((size - 1) / 2)];
    const others = ctx.shape(x).map(() => 0);
    const pads = e.int64([...others.with(1, before), ...others.with(1, after)]);
    const padded = e.node('Pad', [e.square(x), pads]);
    e.allow(size);
    const shifted = Array.from({ length: size }, (_, k) =>
      e.slice(padded, { starts: [k], ends: [k === size - 1 ? END : k + 1 - size], axes: [1] }),
    );
    const sum = e.assume(
      shifted.reduce((a, b) => e.add(a, b)),
      ctx.shape(x),
    );
    const scaled = e.scale(sum, attributes.float('alpha', 0.0001) / size);
    const base = e.add(scaled, e.scalar(attributes.float('bias', 1), x));
    return [e.div(x, e.pow(base, e.scalar(attributes.float('beta', 0.75), x)))];
  },
});
