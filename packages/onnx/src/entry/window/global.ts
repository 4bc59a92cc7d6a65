import type { Shape } from '../../shape/shape.js';
import type { InferContext } from '../operator.js';

/** The shape of a pool over everything: each spatial axis has length 1. */
export function globalPoolShape(ctx: InferContext): Shape {
  const shape = ctx.shape(0);
  if (shape.length < 3) ctx.fail('it works on values of rank 3 and above: [batch, channels, …spatial]');
  return shape.map((dim, i) => (i < 2 ? dim : 1));
}
