import { elementCount } from '@adakit/core';
import { scaleChannels } from '../entry/standardize.js';
import { float } from '../graph/attribute.js';
import { isStatic } from '../shape/dim.js';
import { isStaticShape } from '../shape/shape.js';
import type { Formulation, FormulationContext } from './target.js';

/**
 * Numbers of positions at which ONNX Runtime's normalization is the faster form: a product and a sum broadcast a number a channel
 * to every few elements. It takes 0.34 of their CPU time at 16 × 256 × 2², 0.48 at 16 × 128 × 4², 0.63 at 8² and 0.8 at
 * 32 × 64 × 16², but 1.6 times as long at 16 × 512 × 1² (one thread). It runs on one thread, which larger samples are too many for.
 */
const LEAST_POSITIONS = 4;
const MOST_POSITIONS = 64;

/** By a normalization where that is faster. */
export const channelAffineForCpu: Formulation = (ctx) => {
  const positions = ctx.shape(ctx.input(0)).slice(2);
  const isWorthIt =
    isStaticShape(positions) && elementCount(positions) >= LEAST_POSITIONS && elementCount(positions) <= MOST_POSITIONS;
  return (isWorthIt ? affineByNormalization : affineByProduct)(ctx);
};

/** By a product and a sum. */
export const affineByProduct: Formulation = ({ e, input, has }) => [
  scaleChannels(e, input(0), input(1), has(2) ? input(2) : undefined),
];

/** x a + b as a normalization with the mean 0 and the variance 1, which is one node; wherever there is one. */
export const affineByNormalization: Formulation = (ctx) => {
  const { e, input, has } = ctx;
  const channels = channelsOf(ctx);
  if (channels === undefined) return affineByProduct(ctx);
  const [zeros, ones] = [e.filled(channels, 0), e.filled(channels, 1)];
  const inputs = [input(0), input(1), has(2) ? input(2) : zeros, zeros, ones];
  return [e.node('BatchNormalization', inputs, { epsilon: float(0) })];
};

/** How many channels there are; undefined where that is free, or the kernel is lacking. */
function channelsOf({ input, shape }: FormulationContext): number | undefined {
  const channels = shape(input(0)).at(1);
  return input(0).dtype === 'float32' && channels !== undefined && isStatic(channels) ? channels : undefined;
}
