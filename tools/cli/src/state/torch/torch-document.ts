import { recordOf } from '@adakit/testing';
import { z } from 'zod';
import { UsageError } from '../../usage-error.js';

/** Key of the document in the metadata of an exchange file. */
export const TORCH_KEY = 'torch';

/** A parameter group as PyTorch has it, with names for parameters. */
export type TorchGroup = Readonly<Record<string, unknown>> & { readonly params: readonly string[] };

/**
 * What an exchange file says besides its tensors, which are `<parameter>`, `state/<parameter>/<slot>` under PyTorch's
 * names, and any others of the model such as running statistics; docs/switching.md describes it.
 */
export interface TorchDocument {
  /** Class of the optimizer. */
  readonly class: string;
  /** As in `state_dict()`; AdaBound's groups have `base_lr`, the learning rate at construction. */
  readonly param_groups: readonly TorchGroup[];
  /** Updates of each parameter that has had some; empty where the class does not count. */
  readonly steps: Readonly<Record<string, number>>;
  /** Hyperparameters that are attributes of the optimizer. */
  readonly attributes: Readonly<Record<string, boolean>>;
  /** Steps of the run; PyTorch does not know them. */
  readonly step?: number | undefined;
}

const count = z.int().nonnegative();

const schema: z.ZodType<TorchDocument> = z.strictObject({
  class: z.string(),
  param_groups: z.array(z.looseObject({ params: z.array(z.string()) })).min(1),
  steps: recordOf(count),
  attributes: recordOf(z.boolean()),
  step: count.optional(),
});

/** @throws UsageError for a file without a document, or with a malformed one */
export function parseTorchDocument(text: string | undefined, file: string): TorchDocument {
  if (text === undefined) {
    throw new UsageError(
      `${file}: its metadata has no "${TORCH_KEY}"; write it with the Python function in docs/switching.md`,
    );
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new UsageError(`${file}: the metadata "${TORCH_KEY}" is not JSON`);
  }
  const result = schema.safeParse(json);
  if (result.success) return result.data;
  const issues = result.error.issues.map(({ path, message }) => `${path.map(String).join('.') || 'it'}: ${message}`);
  throw new UsageError(`${file}: the metadata "${TORCH_KEY}" is not valid: ${issues.slice(0, 10).join('; ')}`);
}
