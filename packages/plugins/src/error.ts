import { AdakitError } from '@adakit/core';

/** Why an optimizer cannot be loaded. */
export type PluginErrorCode = 'unknown-optimizer' | 'ambiguous-optimizer' | 'invalid-plugin';

/** A package or module that is not there, not unique, or no plugin. */
export class PluginError extends AdakitError<PluginErrorCode> {}
