import { FitError } from '../error.js';
import type { Callback } from './callback.js';

/**
 * Ends training with an error where more than `most` steps in a row are skipped because something is not finite: weights or data
 * that will not get better (`max_consecutive_errors` of `optax.apply_if_finite`). It has something to count where what is
 * trained skips such steps, as with `nonFinite: 'skip'` or `lossScaling()`.
 *
 * @throws FitError `invalid-argument` for what is no whole number of at least 0
 */
export function skipLimit(most: number): Callback {
  if (!Number.isSafeInteger(most) || most < 0) {
    throw new FitError('invalid-argument', `skipLimit: it must be a whole number of at least 0, got ${most}`);
  }
  let skipped = 0;
  return {
    name: `skipLimit(${most})`,
    onStart: () => {
      skipped = 0;
    },
    onStep: ({ outcome }) => {
      skipped = outcome === 'skipped' ? skipped + 1 : 0;
      if (skipped > most) {
        const steps = skipped === 1 ? 'a step was' : `${skipped} steps in a row were`;
        throw new Error(`${steps} skipped, as the loss or gradients were not finite`);
      }
    },
  };
}
