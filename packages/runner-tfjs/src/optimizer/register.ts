// @tier user
import { requireOptimizer, type Optimizer } from '@adakit/core';
import { serialization } from '@tensorflow/tfjs-core';
import { AdakitOptimizer } from './adakit-optimizer.js';
export type { OptimizerLoader } from './from-config.js';
import { fromConfig, rememberLoader, rememberOptimizer, type OptimizerLoader } from './from-config.js';

/**
 * Makes optimizers known to `tf.loadLayersModel`, so that it can restore a model saved with one of them:
 * `registerOptimizers(adam, adabelief)`; or with what is around it, `registerOptimizers(ema(0.999, adam()))`.
 */
export function registerOptimizers(...optimizers: readonly (OptimizerLoader | Optimizer)[]): void {
  for (const optimizer of optimizers) {
    if ('optimizerName' in Object(optimizer)) rememberLoader(optimizer as OptimizerLoader);
    else rememberOptimizer(requireOptimizer('registerOptimizers()', optimizer));
  }
  serialization.registerClass(SavedOptimizer);
}

/** What TensorFlow.js finds by the class name of a saved optimizer. @internal */
export class SavedOptimizer extends AdakitOptimizer {
  static override fromConfig<T extends serialization.Serializable>(
    _: serialization.SerializableConstructor<T>,
    config: serialization.ConfigDict,
  ): T {
    const { optimizer, nonFinite } = fromConfig(config);
    return new AdakitOptimizer(optimizer, { nonFinite }) as unknown as T;
  }
}
