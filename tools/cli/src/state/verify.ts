import { AdakitError } from '@adakit/core';
import { openState } from '@adakit/state/node';
import { oneLine } from '../printable.js';
import { knowsPieces } from '../optimizers.js';
import { savedOptimizer } from './saved-optimizer.js';

/** Whether one file is a training state as it was written. */
export interface Verification {
  readonly file: string;
  readonly valid: boolean;
  /** The first violation, if any. */
  readonly code?: string;
  readonly message?: string;
}

/**
 * Checks structure and checksums of a state, every byte of it, and that its slots are those of its optimizer.
 *
 * @param finite also refuse infinities and NaN in parameters and slots
 */
export async function verifyFile(file: string, finite: boolean): Promise<Verification> {
  try {
    const state = await openState(file);
    try {
      await state.verify({ finite });
      if (knowsPieces(state.document.optimizer)) savedOptimizer(state);
    } finally {
      await state.close();
    }
    return { file, valid: true };
  } catch (error) {
    if (!(error instanceof AdakitError)) throw error;
    const { code, message } = error as AdakitError<string>;
    return { file, valid: false, code, message };
  }
}

export function formatVerifications(verifications: readonly Verification[]): string {
  const lines = verifications.map(({ file, valid, code = '', message = '' }) => {
    const problem = message.startsWith(file) ? message.slice(file.length).replace(/^[:,] /, '') : message;
    return oneLine(valid ? `${file}: ok` : `${file}: ${code}: ${problem}`);
  });
  return `${lines.join('\n')}\n`;
}
