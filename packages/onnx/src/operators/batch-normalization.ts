import type { Value } from '../graph/value.js';
import type { DefinitionContext, GradientContext, Operator } from './operator.js';
import { alongChannels, standardize } from './normalization.js';

/**
 * y = scale · (x − mean) / √(var + ε) + bias for every channel. In inference form the mean and the variance are inputs;
 * in training form they are those of the batch, and the running ones move towards them:
 * running′ = momentum · running + (1 − momentum) · batch, the variance not being the unbiased one (as in ONNX; PyTorch
 * keeps the unbiased one). ONNX Runtime executes the inference form only.
 *
 * With x̂ = (x − mean) r and r = 1 / √(var + ε): dscale = Σ dy · x̂ and dbias = Σ dy, and dx = scale · r · dy in
 * inference form, scale · r (dy − dbias/n − x̂ · dscale/n) in training form (Ioffe and Szegedy 2015, §3). There the node
 * has x̂ and r as outputs 3 and 4, besides those that ONNX knows.
 */
export const BatchNormalization: Operator = {
  op: 'BatchNormalization',
  since: 15,
  notes: 'in training with the statistics of the batch, the running ones being state',
  infer(ctx) {
    const statistics = { dtype: ctx.dtype(3), shape: ctx.shape(3) };
    const x = { dtype: ctx.dtype(0), shape: ctx.shape(0) };
    const inverse = { dtype: ctx.dtype(0), shape: x.shape.map((dim, axis) => (axis === 1 ? dim : 1)) };
    return [x, statistics, { ...statistics, dtype: ctx.dtype(4) }, x, inverse];
  },
  gradient(ctx) {
    if ([1, 2, 3, 4].some((output) => ctx.hasGrad(output)) || ctx.needs(3) || ctx.needs(4)) {
      return ctx.pullback(definition);
    }
    return isTraining(ctx) ? trainingGradient(ctx) : inferenceGradient(ctx);
  },
  decompose: (ctx) => (isTraining(ctx) ? definition(ctx) : undefined),
  upgrade({ node, opset, e, fail }) {
    if (node.attributes.int('spatial', 1) !== 1)
      fail('has statistics for every element (spatial = 0); use one a channel');
    node.attributes.delete('spatial');
    // Before opset 14 it is the number of outputs that tells training from inference.
    if (opset >= 14) {
      // Whether it trains is decided by how the model is used, unless the running statistics are results of the model.
      if (node.outputs.slice(1).some((output) => output !== undefined && e.graph.outputs.includes(output)))
        return undefined;
      node.attributes.delete('training_mode');
      node.outputs.length = 1;
      return undefined;
    }
    if (node.outputs.slice(1).some((output) => output !== undefined)) {
      fail(`is in the training form of opset ${opset}; export the model for inference`);
    }
    node.outputs.length = 1;
    return undefined;
  },
};

function isTraining({ node }: DefinitionContext): boolean {
  return node.attributes.int('training_mode', 0) === 1;
}

function trainingGradient(ctx: GradientContext): (Value | undefined)[] {
  const { e } = ctx;
  const [x, scale, dy] = [ctx.input(0), ctx.input(1), ctx.grad()];
  const [standardized, inverse] = [ctx.output(3), ctx.output(4)];
  const axes = axesBesideChannels(ctx);
  const sum = (value: Value) => e.reduceSum(value, axes, { keepdims: true });
  const [dScale, dBias] = [sum(e.mul(dy, standardized)), sum(dy)];
  const dx = () => {
    const count = e.div(e.node('Size', [x]), e.node('Size', [scale]));
    const share = e.node('Reciprocal', [e.cast(count, x.dtype ?? 'float32')]);
    const means = e.add(e.mul(standardized, e.mul(dScale, share)), e.mul(dBias, share));
    return e.mul(e.mul(alongChannels(e, scale, ctx.shape(x).length), inverse), e.sub(dy, means));
  };
  return [
    ctx.needs(0) ? e.assume(dx(), ctx.shape(x)) : undefined,
    ctx.needs(1) ? e.squeeze(dScale, axes) : undefined,
    ctx.needs(2) ? e.squeeze(dBias, axes) : undefined,
  ];
}

function inferenceGradient(ctx: GradientContext): (Value | undefined)[] {
  const { e } = ctx;
  const [x, scale, dy] = [ctx.input(0), ctx.input(1), ctx.grad()];
  const rank = ctx.shape(x).length;
  const deviation = e.sqrt(e.add(ctx.input(4), e.scalar(epsilonOf(ctx), x)));
  const axes = axesBesideChannels(ctx);
  const centered = () => e.sub(x, alongChannels(e, ctx.input(3), rank));
  return [
    ctx.needs(0) ? e.assume(e.mul(dy, alongChannels(e, e.div(scale, deviation), rank)), ctx.shape(x)) : undefined,
    ctx.needs(1) ? e.div(e.reduceSum(e.mul(dy, centered()), axes), deviation) : undefined,
    ctx.needs(2) ? e.reduceSum(dy, axes) : undefined,
  ];
}

function axesBesideChannels(ctx: DefinitionContext): number[] {
  return ctx.shape(ctx.input(0)).flatMap((_, axis) => (axis === 1 ? [] : [axis]));
}

function epsilonOf({ node }: DefinitionContext): number {
  return node.attributes.float('epsilon', 1e-5);
}

function definition(ctx: DefinitionContext) {
  const { e, node } = ctx;
  const [x, scale, bias, runningMean, runningVariance] = [0, 1, 2, 3, 4].map((i) => ctx.input(i));
  const rank = ctx.shape(x).length;
  const epsilon = epsilonOf(ctx);
  const affine = (standardized: typeof x) =>
    e.add(e.mul(standardized, alongChannels(e, scale, rank)), alongChannels(e, bias, rank));
  if (!isTraining(ctx)) {
    const deviation = e.sqrt(e.add(runningVariance, e.scalar(epsilon, x)));
    const centered = e.sub(x, alongChannels(e, runningMean, rank));
    return [affine(e.div(centered, alongChannels(e, deviation, rank)))];
  }
  const axes = axesBesideChannels(ctx);
  const batch = standardize(e, x, axes, epsilon);
  const momentum = node.attributes.float('momentum', 0.9);
  const move = (running: typeof x, now: typeof x) =>
    e.add(e.scale(running, momentum), e.scale(e.squeeze(now, axes), 1 - momentum));
  return [
    affine(batch.standardized),
    move(runningMean, batch.mean),
    move(runningVariance, batch.variance),
    batch.standardized,
    batch.inverse,
  ];
}
