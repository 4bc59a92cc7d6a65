import { AdakitError, optionsProblem, type OptionKind } from '@adakit/core';

/**
 * Refuses what is no object, options that there are not, and such of another kind: a promise that is misspelt would be one that
 * nobody looks after.
 *
 * @param what whose options they are, at the beginning of the message
 * @throws AdakitError `invalid-plan`
 */
export function requireOptions(what: string, options: unknown, known: Readonly<Record<string, OptionKind>>): void {
  const problem = optionsProblem(options, known);
  if (problem !== undefined) throw new AdakitError('invalid-plan', `${what}: ${problem}`);
}
