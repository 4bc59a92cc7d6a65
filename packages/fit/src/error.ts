import { AdakitError, kindOf, optionsProblem, type OptionKind } from '@adakit/core';

/** What can be wrong with a training loop. */
export type FitErrorCode =
  'invalid-argument' | 'invalid-metric' | 'callback-failed' | 'state-mismatch' | 'best-missing';

/** A training loop that cannot start, or that a callback broke. */
export class FitError extends AdakitError<FitErrorCode> {
  override readonly name = 'FitError';
}

/** @throws FitError `invalid-argument` for what is no object, options that there are not, and such of another kind */
export function requireOptions(what: string, options: unknown, known: Readonly<Record<string, OptionKind>>): void {
  const problem = optionsProblem(options, known);
  if (problem !== undefined) throw new FitError('invalid-argument', `${what}: ${problem}`);
}

/** @throws FitError `invalid-argument` for what is no path */
export function requirePath(what: string, path: unknown): void {
  if (typeof path !== 'string') throw new FitError('invalid-argument', `${what} writes to a path, got ${kindOf(path)}`);
}
