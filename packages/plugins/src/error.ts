import { AdakitError, kindOf } from '@adakit/core';

/** Why an optimizer cannot be loaded. */
export type PluginErrorCode = 'unknown-optimizer' | 'ambiguous-optimizer' | 'invalid-plugin';

/** A package or module that is not there, not unique, or no plugin. */
export class PluginError extends AdakitError<PluginErrorCode> {}

/** @throws PluginError `unknown-optimizer` for what is no text */
export function requireText(what: string, value: unknown): void {
  if (typeof value !== 'string')
    throw new PluginError('unknown-optimizer', `${what} must be text, got ${kindOf(value)}`);
}
