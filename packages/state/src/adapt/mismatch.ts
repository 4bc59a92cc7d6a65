import { AdakitError } from '@adakit/core';

/** A state that does not fit, for every reason at once. */
export function mismatch(problems: readonly string[]): AdakitError {
  return new AdakitError('state-mismatch', `the state does not fit this run:\n  ${problems.join('\n  ')}`);
}

export function quoted(names: readonly string[]): string {
  return names.map((name) => `"${name}"`).join(', ') || 'none';
}
