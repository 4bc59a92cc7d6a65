import { kinds, optionsProblem, type OptionKind } from '@adakit/core';
import { TrainingError } from './error.js';
import type { RuntimeChoice } from './runtime/choose-runtime.js';

// What is given by programs whose types nobody has checked.

/**
 * Refuses what is no object, options that there are not, and such of another kind.
 *
 * @param call whose options they are, at the beginning of the message
 * @throws TrainingError `invalid-option`
 */
export function requireOptions(call: string, options: unknown, known: Readonly<Record<string, OptionKind>>): void {
  const problem = optionsProblem(options, known);
  if (problem !== undefined) throw new TrainingError('invalid-option', `${call}: ${problem}`);
}

/** {@link RuntimeChoice}, as it may be. */
export const RUNTIME_CHOICE: Readonly<Record<keyof RuntimeChoice, OptionKind>> = {
  runtime: kinds.oneOf('auto', 'native', 'node'),
  libraryPath: kinds.text,
};
