import { OnnxError } from '../error.js';
import { Tensor } from '../model/tensor.js';
import { isStatic } from '../shape/dim.js';
import type { Loss, LossOptions } from './loss.js';
import { floatOutput } from './model-output.js';

/**
 * Softmax cross-entropy with integer labels, averaged over all positions: mean of −log softmax(logits)[label].
 *
 * The output holds logits of shape [batch, classes, d₁, …] in any float type; the target, named `labels` by default,
 * is int64 of shape [batch, d₁, …] with values in [0, classes). As torch.nn.CrossEntropyLoss.
 */
export function crossEntropy(options: LossOptions = {}): Loss {
  const name = 'crossEntropy';
  return {
    name,
    attach(e, graph) {
      const { value: logits, shape, dtype } = floatOutput(graph, name, options.output);
      const classes = shape.length < 2 ? undefined : shape[1];
      if (classes === undefined || !isStatic(classes)) {
        throw new OnnxError(
          'invalid-argument',
          `${name}: the output '${logits.name}' must have shape [batch, classes, …] with a known number of classes, it has [${shape.map(String).join(', ')}]`,
        );
      }
      const labels = graph.addInput(graph.uniqueName(options.target ?? 'labels'), {
        dtype: 'int64',
        shape: [shape[0], ...shape.slice(2)],
      });
      const indices = BigInt64Array.from({ length: classes }, (_, i) => BigInt(i));
      // [classes, 1, …] against labels of [batch, 1, d₁, …]: true where the class is the label.
      const everyClass = e.constant(Tensor.of('int64', [classes, ...shape.slice(2).map(() => 1)], indices), 'classes');
      const isLabel = e.cast(e.equal(e.unsqueeze(labels, [1]), everyClass), dtype);
      const logProbabilities = e.node('LogSoftmax', [logits], { axis: 1 });
      const picked = e.reduceSum(e.mul(logProbabilities, isLabel), [1]);
      const loss = e.neg(e.node('ReduceMean', [picked], { keepdims: 0 }));
      return { loss, targets: [{ input: labels, classes }] };
    },
  };
}
