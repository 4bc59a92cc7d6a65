import type { Command } from 'commander';
import { byteSize, pair } from './option-values.js';

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
