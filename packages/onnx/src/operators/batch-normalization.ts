import type { DefinitionContext, Operator } from './operator.js';
import { alongChannels, standardize } from './normalization.js';

/**
 * y = scale · (x − mean) / √(var + ε) + bias for every channel. In inference form the mean and the variance are inputs;
 * in training form they are those of the batch, and the running ones move towards them:
 * running′ = momentum · running + (1 − momentum) · batch, the variance not being the unbiased one (as in ONNX; PyTorch
 * keeps the unbiased one). ONNX Runtime executes the inference form only.
 */
export const BatchNormalization: Operator = {
  op: 'BatchNormalization',
  since: 15,
  notes: 'in training with the statistics of the batch, the running ones being state',
  infer(ctx) {
    const statistics = { dtype: ctx.dtype(3), shape: ctx.shape(3) };
    return [{ dtype: ctx.dtype(0), shape: ctx.shape(0) }, statistics, { ...statistics, dtype: ctx.dtype(4) }];
  },
  gradient: (ctx) => ctx.pullback(definition),
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

function definition(ctx: DefinitionContext) {
  const { e, node } = ctx;
  const [x, scale, bias, runningMean, runningVariance] = [0, 1, 2, 3, 4].map((i) => ctx.input(i));
  const rank = ctx.shape(x).length;
  const epsilon = node.attributes.float('epsilon', 1e-5);
  const affine = (standardized: typeof x) =>
    e.add(e.mul(standardized, alongChannels(e, scale, rank)), alongChannels(e, bias, rank));
  if (!isTraining(ctx)) {
    const deviation = e.sqrt(e.add(runningVariance, e.scalar(epsilon, x)));
    const centered = e.sub(x, alongChannels(e, runningMean, rank));
    return [affine(e.div(centered, alongChannels(e, deviation, rank)))];
  }
  const axes = ctx.shape(x).flatMap((_, i) => (i === 1 ? [] : [i]));
  const batch = standardize(e, x, axes, epsilon);
  const momentum = node.attributes.float('momentum', 0.9);
  const move = (running: typeof x, now: typeof x) =>
    e.add(e.scale(running, momentum), e.scale(e.squeeze(now, axes), 1 - momentum));
  return [affine(batch.standardized), move(runningMean, batch.mean), move(runningVariance, batch.variance)];
}
