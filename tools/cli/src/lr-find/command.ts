import type { Command } from 'commander';
import { positive, whole } from '../option-values.js';
import { dataHelp } from '../train/known-data.js';
import {
  addOptimizerOptions,
  addTrainingOptions,
  dataOption,
  type OptimizerOptions,
  type TrainingOptions,
} from '../train/training-options.js';

/** What `adakit lr-find` has to be told. */
export interface LrFindOptions extends TrainingOptions, OptimizerOptions {
  readonly from: number;
  readonly to: number;
  readonly steps: number;
  readonly plot?: string;
  readonly json?: true;
}

/** Registers `adakit lr-find`. */
export function addLrFindCommand(program: Command): void {
  addOptimizerOptions(addTrainingOptions(program.command('lr-find').requiredOption(...dataOption)))
    .summary('which learning rate suits this model, these data and this optimizer?')
    .description(
      'Takes steps with learning rates that grow exponentially until the loss diverges, and suggests two: where the loss\n' +
        'fell fastest, and a tenth of the rate at which it was lowest. The model is left as it is.\n' +
        'Exit code: 0 there is a suggestion, 1 the loss never fell, 2 an option, file or package is wrong.',
    )
    .argument('<model>', 'ONNX file; - for standard input')
    .option('--from <rate>', 'learning rate of the first step', positive, 1e-7)
    .option('--to <rate>', 'learning rate of the last step', positive, 10)
    .option('--steps <n>', 'steps; data that are shorter are read again', whole(10), 100)
    .option('--plot <file>', 'draw the loss over the rate: .svg, or .png with the package sharp')
    .option('--json', 'print what was found as JSON')
    .addHelpText(
      'after',
      `\n${dataHelp}\n\nExamples:\n` +
        '  adakit lr-find mnist-cnn.onnx --data mnist --optimizer adam --plot rates.svg\n' +
        '  adakit lr-find net.onnx --data houses.csv --target price --loss mse --optimizer sgd --from 1e-5 --to 1\n' +
        '  adakit lr-find net.onnx --data iris --optimizer adabelief --json | jq .steepest',
    )
    .action(async (path: string, options: LrFindOptions) => {
      const { findRate } = await import('./run.js');
      await findRate(path, options);
    });
}
