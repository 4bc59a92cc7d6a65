import { AdakitError, StateFileError } from '@adakit/core';
import { openState } from '@adakit/core/node';
import { optimizerNames } from '../optimizers.js';
import { stateOptimizer } from './state-optimizer.js';

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
      if (optimizerNames.some((name) => name === state.document.optimizer.name)) {
        stateOptimizer(state.document, state.tensors);
      }
    } finally {
      await state.close();
    }
    return { file, valid: true };
  } catch (error) {
    if (!(error instanceof StateFileError || error instanceof AdakitError)) throw error;
    return { file, valid: false, code: error.code, message: error.message };
  }
}

export function formatVerifications(verifications: readonly Verification[]): string {
  const lines = verifications.map(({ file, valid, code = '', message = '' }) => {
    const problem = message.startsWith(file) ? message.slice(file.length).replace(/^[:,] /, '') : message;
    return valid ? `${file}: ok` : `${file}: ${code}: ${problem}`;
  });
  return `${lines.join('\n')}\n`;
}
