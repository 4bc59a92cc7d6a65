import { AdakitError } from '@adakit/core';

/** What can be wrong with a training loop. */
export type FitErrorCode =
  'invalid-argument' | 'invalid-metric' | 'callback-failed' | 'state-mismatch' | 'best-missing';

/** A training loop that cannot start, or that a callback broke. */
export class FitError extends AdakitError<FitErrorCode> {
  override readonly name = 'FitError';
}
