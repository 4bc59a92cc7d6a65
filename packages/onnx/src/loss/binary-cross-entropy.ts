import { reduce, type Loss, type LossOptions } from './loss.js';
import { floatOutput } from './model-output.js';

/**
 * Binary cross-entropy on logits x with targets t in [0, 1]: −p·t·log σ(x) − (1 − t)·log σ(−x), as
 * torch.nn.BCEWithLogitsLoss. The target, named `target` by default, has the output's shape.
 *
 * log σ(x) and log σ(−x) are the log-softmax of the pair (x, 0): stable for logits of any size, and smooth at x = 0,
 * where the usual form with |x| has a kink that automatic differentiation sees.
 *
 * @param options.positiveWeight p, the weight of positive targets; default 1
 */
export function bceWithLogits(options: LossOptions & { readonly positiveWeight?: number } = {}): Loss {
  const name = 'bceWithLogits';
  return {
    name,
    attach(e, graph) {
      const { value, shape, dtype } = floatOutput(graph, name, options.output);
      const target = graph.addInput(graph.uniqueName(options.target ?? 'target'), { dtype, shape });
      const axis = shape.length;
      const pair = e.concat([e.unsqueeze(value, [axis]), e.unsqueeze(e.zerosLike(value), [axis])], axis);
      const logProbabilities = e.node('LogSoftmax', [pair], { axis });
      const positive = e.scale(target, options.positiveWeight ?? 1);
      const negative = e.sub(e.scalar(1, target), target);
      const weights = e.concat([e.unsqueeze(positive, [axis]), e.unsqueeze(negative, [axis])], axis);
      const losses = e.neg(e.reduceSum(e.mul(logProbabilities, weights), [axis]));
      return { loss: reduce(e, losses, options.reduction), targets: [{ input: target }] };
    },
  };
}
