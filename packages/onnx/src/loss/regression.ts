import { kinds } from '@adakit/core';
import { requireOptions } from '../given.js';
import type { Emitter } from '../graph/emitter.js';
import type { Value } from '../graph/value.js';
import { canBeDrawn, normalLike, overRoot } from './drawn.js';
import { LOSS_OPTIONS, reducedLoss, targetInput, type Loss, type LossOptions } from './loss.js';
import { floatOutput } from './model-output.js';

/** A loss of each element's error r = output − target. The target, named `target` by default, has the output's shape. */
function errorLoss(name: string, options: LossOptions, ofError: (e: Emitter, error: Value) => Value): Loss {
  return {
    name,
    attach(e, graph) {
      const { value, shape, dtype } = floatOutput(graph, name, options.output);
      const target = targetInput(graph, options.target, { name: 'target', dtype, shape });
      return reducedLoss(e, graph, { losses: ofError(e, e.sub(value, target)), targets: [{ input: target }] }, options);
    },
  };
}

/**
 * Squared error r², as torch.nn.MSELoss. Its likelihood is that of a normal distribution with variance ½ around the output: the
 * gradient of r² at a target that is drawn from it is √2·n, n standard normal.
 */
export function mse(options: LossOptions = {}): Loss {
  requireOptions('mse', options, LOSS_OPTIONS);
  const name = 'mse';
  const drawn: Loss = {
    name: `${name} of drawn targets`,
    attach(e, graph) {
      const { value } = floatOutput(graph, name, options.output);
      return { loss: overRoot(e, e.mul(value, e.scale(normalLike(e, value), Math.SQRT2))), targets: [] };
    },
  };
  return {
    ...errorLoss(name, options, (e, error) => e.square(error)),
    drawn: canBeDrawn(options) ? drawn : undefined,
  };
}

/** Absolute error |r|, as torch.nn.L1Loss; the gradient at 0 is 0. */
export function l1(options: LossOptions = {}): Loss {
  requireOptions('l1', options, LOSS_OPTIONS);
  return errorLoss('l1', options, (e, error) => e.node('Abs', [error]));
}

/**
 * Huber loss: r²/2 where |r| ≤ δ, δ(|r| − δ/2) beyond, as torch.nn.HuberLoss (Huber, "Robust estimation of a location
 * parameter", 1964).
 *
 * @param options.delta δ > 0, default 1
 */
export function huber(options: LossOptions & { readonly delta?: number } = {}): Loss {
  requireOptions('huber', options, { ...LOSS_OPTIONS, delta: kinds.within({ above: 0 }) });
  const { delta = 1 } = options;
  return errorLoss('huber', options, (e, error) => {
    const size = e.node('Abs', [error]);
    const limit = e.scalar(delta, error);
    const quadratic = e.scale(e.square(error), 0.5);
    const linear = e.mul(e.sub(size, e.scalar(delta / 2, error)), limit);
    return e.where(e.greater(size, limit), linear, quadratic);
  });
}

/**
 * Smooth L1 loss: r²/(2β) where |r| ≤ β, |r| − β/2 beyond, as torch.nn.SmoothL1Loss: {@link huber} with δ = β, divided by
 * β, so that its slope far away is 1 for every β (Girshick, "Fast R-CNN", 2015, with β = 1).
 *
 * @param options.beta β > 0, default 1; for β → 0 it becomes {@link l1}
 */
export function smoothL1(options: LossOptions & { readonly beta?: number } = {}): Loss {
  requireOptions('smoothL1', options, { ...LOSS_OPTIONS, beta: kinds.within({ above: 0, because: 'for 0 take l1' }) });
  const { beta = 1 } = options;
  return errorLoss('smoothL1', options, (e, error) => {
    const size = e.node('Abs', [error]);
    const quadratic = e.scale(e.square(error), 0.5 / beta);
    const linear = e.sub(size, e.scalar(beta / 2, error));
    return e.where(e.greater(size, e.scalar(beta, error)), linear, quadratic);
  });
}
