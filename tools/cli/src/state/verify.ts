import { AdakitError } from '@adakit/core';
import { PluginError } from '@adakit/plugins';
import { openState } from '@adakit/state/node';
import { oneLine } from '../printable.js';
import { knowsWrappers } from '../optimizers.js';
import { MissingRule, savedOptimizer } from './saved-optimizer.js';

/** Whether one file is a training state as it was written. */
export interface Verification {
  readonly file: string;
  readonly valid: boolean;
  /** The first violation, if any. */
  readonly code?: string;
  readonly message?: string;
  /** What has not been checked of a valid one, and what is needed for it. */
  readonly note?: string;
}

/**
 * Checks structure and checksums of a state, every byte of it, and that its slots are those of its optimizer.
 *
 * @param options.finite also refuse infinities and NaN in parameters and slots
 * @param options.plugins packages and modules to look for its rules in first
 * @param options.onPart told of each part that is read which tensor it is of
 * @throws PluginError for a plugin that cannot be loaded
 */
export async function verifyFile(
  file: string,
  {
    finite = false,
    plugins = [],
    onPart,
  }: {
    readonly finite?: boolean;
    readonly plugins?: readonly string[];
    readonly onPart?: (tensor: string) => void;
  } = {},
): Promise<Verification> {
  try {
    const state = await openState(file);
    try {
      await state.verify({ finite, onPart });
      if (knowsWrappers(state.document.optimizer)) await savedOptimizer(state, plugins);
    } finally {
      await state.close();
    }
    return { file, valid: true };
  } catch (error) {
    if (error instanceof MissingRule) return { file, valid: true, note: `its slots are not checked; ${error.advice}` };
    if (!(error instanceof AdakitError) || error instanceof PluginError) throw error;
    const { code, message } = error as AdakitError<string>;
    return { file, valid: false, code, message };
  }
}

export function formatVerifications(verifications: readonly Verification[]): string {
  const lines = verifications.map(({ file, valid, code = '', message = '', note }) => {
    const problem = message.startsWith(file) ? message.slice(file.length).replace(/^[:,] /, '') : message;
    return oneLine(valid ? `${file}: ok${note === undefined ? '' : ` (${note})`}` : `${file}: ${code}: ${problem}`);
  });
  return `${lines.join('\n')}\n`;
}
