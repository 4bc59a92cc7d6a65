import { AdakitError } from '@adakit/core';
import { InvalidArgumentError } from 'commander';
import { oneLine } from './printable.js';
import { TrainingFailure } from './train/training-failure.js';
import { UsageError } from './usage-error.js';

/** What to print for an error that is no defect of the program: mistakes of users, and files that are wrong. */
export function errorText(error: unknown): string | undefined {
  const expected = [UsageError, TrainingFailure, InvalidArgumentError, AdakitError];
  if (!(error instanceof Error) || !expected.some((kind) => error instanceof kind)) return undefined;
  // Names in a message come from files.
  return `adakit: ${error.message.split('\n').map(oneLine).join('\n')}\n`;
}
