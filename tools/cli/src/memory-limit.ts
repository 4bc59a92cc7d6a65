import { checkModel, type MemoryLimit, type Model } from '@adakit/onnx';
import type { MemoryOptions } from './memory-options.js';
import { UsageError } from './usage-error.js';

/**
 * The limit that the options set, if they do; the first free dimension of an input is the batch, where its size is known.
 *
 * @throws UsageError for sizes without a limit
 */
export function memoryLimitOf(
  model: Model,
  { memoryLimit, memoryFor }: MemoryOptions,
  batch?: number,
): { readonly memoryLimit?: MemoryLimit } {
  if (memoryLimit === undefined) {
    if (Object.keys(memoryFor).length === 0) return {};
    throw new UsageError('--memory-for says which sizes a limit is for; say the limit with --memory-limit SIZE');
  }
  let dims: Readonly<Record<string, number>> = {};
  for (const { shape } of checkModel(model).inputs) {
    const first = shape.find((dim) => typeof dim === 'string');
    if (batch !== undefined && first !== undefined) dims = { ...dims, [first]: batch };
  }
  return { memoryLimit: { bytes: memoryLimit, dims: { ...dims, ...memoryFor } } };
}
