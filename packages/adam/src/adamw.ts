import type { HyperparameterOptions, Optimizer } from '@adakit/core';
import { adam } from './adam.js';

/** Options of {@link adamw}: Adam's, except that decoupling is not a choice. */
export type AdamWOptions = Omit<HyperparameterOptions<typeof adam.hyperparameters>, 'weightDecouple'>;

/**
 * AdamW (Loshchilov & Hutter 2019, algorithm 2): {@link adam} with decoupled weight decay, `weightDecay` 1e-2 by
 * default as in PyTorch. Its states are Adam's.
 */
export function adamw(options: AdamWOptions = {}): Optimizer {
  // Spread, a number would be passed over.
  return adam(Object(options) === options ? { weightDecay: 1e-2, ...options, weightDecouple: true } : options);
}
