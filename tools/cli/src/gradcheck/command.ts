import type { Command } from 'commander';
import { whole } from '../option-values.js';
import { addSelectionOptions, type SelectionOptions } from '../selection.js';
import { addSpecializeOptions, type SpecializeOptions } from '../specialize-options.js';

/** What `adakit gradcheck` has to be told. */
export interface GradcheckOptions extends SpecializeOptions, SelectionOptions {
  readonly loss: string;
  readonly inputs?: string;
  readonly seed: number;
  readonly directions: number;
  readonly limit?: number;
  readonly json?: true;
}

/** Registers `adakit gradcheck`. */
export function addGradcheckCommand(program: Command): void {
  addSelectionOptions(addSpecializeOptions(program.command('gradcheck')))
    .summary('are the gradients of this ONNX model right?')
    .description(
      'Compares the compiled gradient with central differences of the original model in ONNX Runtime.\n' +
        'Inputs are random: numbers, valid indices, sizes that the model runs on. Exit code: 0 they agree, 1 they do not\n' +
        'or nothing can be said, 2 the model cannot be read or run.',
    )
    .argument('<model>', 'ONNX file; - for standard input')
    .option('--loss <name>', 'mse, cross-entropy, sum, the name of an output, or an ONNX file that computes it', 'mse')
    .option('--inputs <file>', 'safetensors file with inputs by name; random ones by default')
    .option('--seed <n>', 'of all that is random', whole(0), 0)
    .option('--directions <k>', 'random directions for every parameter', whole(1), 2)
    .option(
      '--limit <seconds>',
      'begin no further parameter after that time; those left are said to be unchecked',
      whole(0),
    )
    .option('--json', 'print the findings as JSON')
    .addHelpText(
      'after',
      '\nExamples:\n' +
        '  adakit gradcheck model.onnx --loss cross-entropy --directions 4\n' +
        '  adakit gradcheck model.onnx --loss loss.onnx\n' +
        '  adakit gradcheck detector.onnx --dim height=640 --dim width=640 --limit 60\n' +
        '  adakit gradcheck vad.onnx --fix sr=16000 --inputs speech.safetensors\n' +
        'Verdicts: ok; wrong; dead (nothing that was fed reaches the loss through the parameter); kink (a corner of the\n' +
        'loss); noise (hidden by the rounding of float32); unchecked (the time was up).',
    )
    .action(async (path: string, options: GradcheckOptions) => {
      const { checkGradients } = await import('./run.js');
      await checkGradients(path, options);
    });
}
