import type { Loss, LossOptions } from './loss.js';
import { floatOutput } from './model-output.js';

/**
 * Mean squared error: mean of (output − target)² over all elements, as torch.nn.MSELoss. The target, named `target` by
 * default, has the output's shape and type.
 */
export function mse(options: LossOptions = {}): Loss {
  const name = 'mse';
  return {
    name,
    attach(e, graph) {
      const { value, shape, dtype } = floatOutput(graph, name, options.output);
      const target = graph.addInput(graph.uniqueName(options.target ?? 'target'), { dtype, shape });
      const loss = e.node('ReduceMean', [e.square(e.sub(value, target))], { keepdims: 0 });
      return { loss, targets: [{ input: target }] };
    },
  };
}
