import type { NonFinitePolicy, Optimizer } from '@adakit/core';
import type { serialization } from '@tensorflow/tfjs-core';

/**
 * An optimizer as a TensorFlow.js configuration. Layers models camel-case the strings of a configuration when they are
 * loaded, so that `dense_1/kernel` becomes `dense1/kernel`; so it travels as JSON without underscores.
 */
export function toConfig(
  optimizer: Optimizer,
  parameters: Parameters<Optimizer['toConfig']>[0],
  nonFinite: NonFinitePolicy,
): serialization.ConfigDict {
  const text = JSON.stringify(optimizer.toConfig(parameters));
  return { optimizer: text.replaceAll('_', '\\u005f'), nonFinite };
}
