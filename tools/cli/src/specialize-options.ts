import type { Command } from 'commander';
import { pair } from './option-values.js';

/** Options of commands that read a model for other sizes than it was made for. */
export interface SpecializeOptions {
  readonly freeBatch?: true;
  readonly dim: Readonly<Record<string, number>>;
  readonly fix: Readonly<Record<string, number>>;
}

/** Adds `--free-batch`, `--dim` and `--fix`. */
export function addSpecializeOptions(command: Command): Command {
  return command
    .option('--free-batch', 'any number of samples for a model that was exported with one')
    .option('--dim <name=size>', 'size of a free dimension, by its name or as input[axis]; may be repeated', pair, {})
    .option(
      '--fix <input=number>',
      'value of an input that never changes, such as a sampling rate; may be repeated',
      pair,
      {},
    );
}
