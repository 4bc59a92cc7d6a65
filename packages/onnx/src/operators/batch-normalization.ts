import { countAtRunTime, knownCount } from '../entry/count.js';
import { dropping } from '../entry/older-form.js';
import type { DefinitionContext, GradientContext, Operator, UpgradeContext } from '../entry/operator.js';
import { BIAS, DATA, GAIN, role } from '../entry/role.js';
import { alongChannels, scaleChannels } from '../entry/standardize.js';
import type { Emitter } from '../graph/emitter.js';
import { Node } from '../graph/node.js';
import type { Value } from '../graph/value.js';

const STATISTIC = role('statistic', 'running statistics');

/**
 * y = scale · (x − mean) / √(var + ε) + bias for every channel. In inference form the mean and the variance are inputs;
 * in training form they are those of the batch, and the running ones move towards them:
 * running′ = momentum · running + (1 − momentum) · batch, the variance not being the unbiased one (as in ONNX; PyTorch
 * keeps the unbiased one).
 *
 * A normalization of weights (weight standardization) has no batch: in the training form, in which exporters write it, it
 * uses the statistics of the weights whether the model trains or not, and is written out.
 *
 * With x̂ = (x − mean) r and r = 1 / √(var + ε): dscale = Σ dy · x̂ and dbias = Σ dy, and dx = scale · r · dy in
 * inference form, scale · r (dy − dbias/n − x̂ · dscale/n) in training form (Ioffe and Szegedy 2015, §3). There the node
 * has x − mean and the vector r as outputs 3 and 4, besides those that ONNX knows: everything else of the size of x is
 * x − mean or dy times a number a channel plus another.
 */
export const BatchNormalization: Operator = {
  op: 'BatchNormalization',
  since: 15,
  roles: [DATA, GAIN, BIAS, STATISTIC, STATISTIC],
  mixes: true,
  early: [dropping(7, 'is_test')],
  notes: 'in training with the statistics of the batch, the running ones being state',
  infer(ctx) {
    const statistics = { dtype: ctx.dtype(3), shape: ctx.shape(3) };
    const x = { dtype: ctx.dtype(0), shape: ctx.shape(0) };
    return [x, statistics, { ...statistics, dtype: ctx.dtype(4) }, x, { dtype: ctx.dtype(0), shape: ctx.shape(1) }];
  },
  gradient(ctx) {
    if ([1, 2, 3, 4].some((output) => ctx.hasGrad(output)) || ctx.needs(3) || ctx.needs(4)) {
      return ctx.pullback(definition);
    }
    return isTraining(ctx) ? trainingGradient(ctx) : inferenceGradient(ctx);
  },
  // Outputs 3 and 4 are not the standard's, whose own training form no runtime needs to have.
  beyondOpset: (node) => isTraining({ node }),
  define: definition,
  /**
   * In training form with the statistics of the batch, if there is one; where the running ones are computed, nothing could
   * keep them, and the form is that of the file.
   */
  setMode({ node, e, training, isFed: dependsOnBatch, keep }) {
    if (!areStored(node)) return;
    const [x] = node.inputs;
    if (training && keep !== undefined && x !== undefined && dependsOnBatch(x)) {
      node.attributes.set('training_mode', 1);
      keep(3, 1);
      keep(4, 2);
    } else toInference(node, e);
  },
  upgrade(ctx) {
    const { node, opset, isUsed, isFed, fail } = ctx;
    if (node.attributes.int('spatial', 1) !== 1)
      fail('has statistics for every element (spatial = 0); use one a channel');
    node.attributes.delete('spatial');
    // Before opset 14 it is the number of outputs that tells training from inference.
    const trains = opset >= 14 ? isTraining(ctx) : node.outputs.slice(1).some((output) => output !== undefined);
    if (trains && node.inputs[0] !== undefined && !isFed(node.inputs[0])) return ofWeights(ctx, node.inputs[0]);
    if (opset >= 14) {
      const isResult = node.outputs.slice(1).some((output) => output !== undefined && isUsed(output));
      // Where the model needs running statistics that nothing keeps, the form is that of the file.
      if (isResult && !areStored(node)) return undefined;
      // Whether it trains is decided by how the model is used.
      node.attributes.delete('training_mode');
      if (!isResult) node.outputs.length = 1;
      return undefined;
    }
    if (node.outputs.slice(1).some((output) => output !== undefined)) {
      fail(`is in the training form of opset ${opset}; export the model for inference`);
    }
    node.outputs.length = 1;
    return undefined;
  },
};

/** Whether the running statistics are tensors of the model, which may change. */
function areStored({ inputs }: Node): boolean {
  return inputs[3]?.tensor !== undefined && inputs[4]?.tensor !== undefined;
}

/** The running statistics that the model has use of are those stored. */
function toInference(node: Node, e: Emitter): void {
  node.attributes.delete('training_mode');
  const results = node.outputs.splice(1);
  for (const [i, result] of results.entries()) {
    if (result === undefined) continue;
    e.graph.addNode(new Node({ name: result.name, op: 'Identity', inputs: [node.inputs[3 + i]], outputs: [result] }));
  }
  if (results.length > 0) e.graph.sort();
}

function isTraining({ node }: Pick<DefinitionContext, 'node'>): boolean {
  return node.attributes.int('training_mode', 0) === 1;
}

function trainingGradient(ctx: GradientContext): (Value | undefined)[] {
  const { e } = ctx;
  const [x, scale, dy] = [ctx.input(0), ctx.input(1), ctx.grad()];
  const [centered, inverse] = [ctx.output(3), ctx.output(4)];
  const rank = ctx.shape(x).length;
  const sum = (value: Value) => e.reduceSum(value, axesOf(rank));
  const [dScale, dBias] = [e.mul(sum(e.mul(dy, centered)), inverse), sum(dy)];
  const dx = () => {
    const count = knownCount(ctx, x, scale);
    const share = count === undefined ? e.node('Reciprocal', [countAtRunTime(ctx, x, scale)]) : e.scalar(1 / count, x);
    // By channel: gain (dy − ((x − mean) r dscale/n + dbias/n)), where what cancels is subtracted before it is rounded again.
    const means = e.channelAffine(centered, e.mul(inverse, e.mul(dScale, share)), e.mul(dBias, share));
    return e.channelAffine(e.sub(dy, means), e.mul(scale, inverse));
  };
  return [
    ctx.needs(0) ? e.assume(dx(), ctx.shape(x)) : undefined,
    ctx.needs(1) ? dScale : undefined,
    ctx.needs(2) ? dBias : undefined,
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
  return axesOf(ctx.shape(ctx.input(0)).length);
}

function axesOf(rank: number): number[] {
  return Array.from({ length: rank }, (_, axis) => axis).filter((axis) => axis !== 1);
}

function epsilonOf({ node }: Pick<DefinitionContext, 'node'>): number {
  return node.attributes.float('epsilon', 1e-5);
}

function definition(ctx: DefinitionContext) {
  const { e } = ctx;
  const [x, scale, bias, runningMean, runningVariance] = [0, 1, 2, 3, 4].map((i) => ctx.input(i));
  if (isTraining(ctx)) return trainingForm(ctx, [x, scale, bias, runningMean, runningVariance], ctx.shape(x).length);
  const rank = ctx.shape(x).length;
  const deviation = e.sqrt(e.add(runningVariance, e.scalar(epsilonOf(ctx), x)));
  const standardized = e.div(e.sub(x, alongChannels(e, runningMean, rank)), alongChannels(e, deviation, rank));
  return [e.add(e.mul(standardized, alongChannels(e, scale, rank)), alongChannels(e, bias, rank))];
}

/** All five outputs in training form. */
function trainingForm(
  ctx: Pick<DefinitionContext, 'node' | 'e'>,
  [x, scale, bias, runningMean, runningVariance]: readonly Value[],
  rank: number,
  affine: (x: Value, a: Value, b: Value) => Value = (...args) => ctx.e.channelAffine(...args),
): Value[] {
  const { e, node } = ctx;
  const axes = axesOf(rank);
  const mean = e.node('ReduceMean', [x, e.int64(axes)]);
  const centered = e.sub(x, mean);
  const variance = e.node('ReduceMean', [e.square(centered), e.int64(axes)], { keepdims: 0 });
  const inverse = e.node('Reciprocal', [e.sqrt(e.add(variance, e.scalar(epsilonOf(ctx), x)))]);
  const momentum = node.attributes.float('momentum', 0.9);
  const move = (running: Value, now: Value) => e.add(e.scale(running, momentum), e.scale(now, 1 - momentum));
  return [
    affine(centered, e.mul(scale, inverse), bias),
    move(runningMean, e.squeeze(mean, axes)),
    move(runningVariance, variance),
    centered,
    inverse,
  ];
}

/** The training form of a normalization of weights in other operators. */
function ofWeights({ node, e, isUsed, fail }: UpgradeContext, x: Value): readonly (Value | undefined)[] {
  const inputs = node.inputs.flatMap((input) => input ?? []);
  if (inputs.length < 5 || x.shape === undefined) return fail('lacks an input, or normalizes weights of unknown shape');
  if (!node.outputs.slice(1).some((output) => output !== undefined && isUsed(output))) node.outputs.length = 1;
  const rank = x.shape.length;
  // The model itself is written so, which is in standard operators.
  const affine = (value: Value, a: Value, b: Value) => scaleChannels(e, value, a, b);
  return trainingForm({ node, e }, inputs, rank, affine).slice(0, node.outputs.length);
}
