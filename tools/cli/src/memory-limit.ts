import { checkModel, type MemoryLimit, type Model } from '@adakit/onnx';
import type { Command } from 'commander';
import { byteSize, pair } from './option-values.js';
import { UsageError } from './usage-error.js';

/** Options of commands that write graphs for training. */
export interface MemoryOptions {
  readonly memoryLimit?: number;
  readonly memoryFor: Readonly<Record<string, number>>;
}

/** Adds `--memory-limit` and `--memory-for`. */
export function addMemoryOptions(command: Command): Command {
  return command
    .option(
      '--memory-limit <size>',
      'what a step may keep at a time of what it computes, such as 2GiB; beyond, it computes a part of its forward pass again',
      byteSize,
    )
    .option(
      '--memory-for <name=size>',
      'size of a free dimension that the memory limit is for; may be repeated',
      pair,
      {},
    );
}

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
