import { OnnxError } from '../error.js';
import type { Emitter } from '../graph/emitter.js';
import type { Value } from '../graph/value.js';
import { reduce, type Loss, type LossOptions } from './loss.js';
import { floatOutput } from './model-output.js';

/** A loss of each element's error r = output − target. The target, named `target` by default, has the output's shape. */
function errorLoss(name: string, options: LossOptions, ofError: (e: Emitter, error: Value) => Value): Loss {
  return {
    name,
    attach(e, graph) {
      const { value, shape, dtype } = floatOutput(graph, name, options.output);
      const target = graph.addInput(graph.uniqueName(options.target ?? 'target'), { dtype, shape });
      return { loss: reduce(e, ofError(e, e.sub(value, target)), options.reduction), targets: [{ input: target }] };
    },
  };
}

/** Squared error r², as torch.nn.MSELoss. */
export function mse(options: LossOptions = {}): Loss {
  return errorLoss('mse', options, (e, error) => e.square(error));
}

/** Absolute error |r|, as torch.nn.L1Loss; the gradient at 0 is 0. */
export function l1(options: LossOptions = {}): Loss {
  return errorLoss('l1', options, (e, error) => e.node('Abs', [error]));
}

/**
 * Huber loss: r²/2 where |r| ≤ δ, δ(|r| − δ/2) beyond, as torch.nn.HuberLoss.
 *
 * @param options.delta δ > 0, default 1
 */
export function huber(options: LossOptions & { readonly delta?: number } = {}): Loss {
  const { delta = 1 } = options;
  if (!(delta > 0)) throw new OnnxError('invalid-argument', `huber: delta must be > 0, got ${delta}`);
  return errorLoss('huber', options, (e, error) => {
    const size = e.node('Abs', [error]);
    const limit = e.scalar(delta, error);
    const quadratic = e.scale(e.square(error), 0.5);
    const linear = e.mul(e.sub(size, e.scalar(delta / 2, error)), limit);
    return e.where(e.greater(size, limit), linear, quadratic);
  });
}
