import type { Command } from 'commander';
import { pluginOption } from '../plugin-option.js';

/** What `adakit inspect` has to be told. */
export interface InspectOptions {
  readonly plugin: readonly string[];
  readonly json?: true;
}

/** Registers `adakit inspect`. */
export function addInspectCommand(program: Command): void {
  program
    .command('inspect')
    .summary('show what is in a training state or any safetensors file')
    .description(
      'Shows what is in a file: the optimizer with its hyperparameters, the step, where it was written, and for each ' +
        'tensor its element type, shape, norm, smallest and largest element and the number of infinities and NaN. Every ' +
        'byte is checked. Files may be larger than memory. Exit code: 0 valid, 1 not valid, 2 no such file.',
    )
    .argument('<file...>', 'safetensors files, or the indices of states in shards; - for standard input')
    .addOption(pluginOption())
    .option('--json', 'print an array of reports instead of text')
    .addHelpText(
      'after',
      `
Examples:
  adakit inspect run/step-1000.safetensors
  adakit inspect run/*.safetensors --json | jq '.[] | {file, valid, step: .document.step}'`,
    )
    .action(async (files: readonly string[], options: InspectOptions) => {
      const { inspect } = await import('./run.js');
      await inspect(files, options);
    });
}
