import type { Command } from 'commander';
import { whole } from '../option-values.js';
import { dataHelp } from '../train/known-data.js';
import { addTrainingOptions, dataOption, list, type TrainingOptions } from '../train/training-options.js';

/** What `adakit bench` has to be told. */
export interface BenchOptions extends TrainingOptions {
  readonly optimizers: readonly string[];
  readonly rounds: number;
  readonly json?: true;
}

/** Registers `adakit bench`. */
export function addBenchCommand(program: Command): void {
  addTrainingOptions(program.command('bench').requiredOption(...dataOption))
    .summary('how fast does this model train here, and where does the time go?')
    .description(
      'Takes steps on one batch of the data with each optimizer in turn, and measures beside them the data, an evaluation,\n' +
        'and on the CPU the updates alone, against what memory allows. Each optimizer has a session of its own, all at once.\n' +
        'The model is left as it is. Exit code: 0 it was measured, 1 a step failed, 2 an option, file or package is wrong.',
    )
    .argument('<model>', 'ONNX file; - for standard input')
    .option('--optimizers <names>', 'separated by commas, with their defaults', list, ['adam'])
    .option('--rounds <n>', 'how often each is measured', whole(1), 15)
    .option('--json', 'print what was measured as JSON, times in milliseconds')
    .addHelpText(
      'after',
      `\n${dataHelp}\n\nExamples:\n` +
        '  adakit bench mnist-cnn.onnx --data mnist --batch 128\n' +
        '  adakit bench net.onnx --data houses.csv --target price --loss mse --optimizers adam,lion,soap\n' +
        "  adakit bench net.onnx --data iris --threads 1 --json | jq '.optimizers[0].step.median'",
    )
    .action(async (path: string, options: BenchOptions) => {
      const { bench } = await import('./run.js');
      await bench(path, options);
    });
}
