import type { Command } from 'commander';
import { formatInspection } from './format.js';
import { inspectFile, type Inspection } from './inspect.js';
import { print } from '../printable.js';
import { pluginOption } from '../plugin-option.js';
import { requireOneStandardInput, withSource } from '../standard-streams.js';

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
    .action(async (files: readonly string[], options: { plugin: readonly string[]; json?: true }) => {
      requireOneStandardInput(files);
      const inspections: Inspection[] = [];
      for (const file of files) {
        inspections.push(await withSource(file, (path) => inspectFile(path, options.plugin)));
      }
      print(options.json ? inspectionsJson(inspections) : inspections.map(formatInspection).join('\n'));
      if (inspections.some(({ valid }) => !valid)) process.exitCode = 1;
    });
}

/** Inspections as JSON text. */
function inspectionsJson(inspections: readonly Inspection[]): string {
  const plain = (_: string, value: unknown): unknown => {
    if (value instanceof Map) return Object.fromEntries(value as Map<string, unknown>);
    // As in the file: JSON has no word for what is not finite.
    return typeof value === 'number' && !Number.isFinite(value) ? String(value) : value;
  };
  return `${JSON.stringify(inspections, plain, 2)}\n`;
}
