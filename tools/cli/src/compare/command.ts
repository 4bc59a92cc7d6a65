import type { Command } from 'commander';
import { whole } from '../option-values.js';
import type { Launch } from '../own-process.js';
import { dataHelp } from '../train/known-data.js';
import { addLoopOptions, addTrainingOptions, dataOption, list, type Seed } from '../train/training-options.js';

/** What `adakit compare` has to be told. */
export interface CompareOptions {
  readonly config?: string;
  readonly optimizers?: readonly string[];
  readonly seeds?: number;
  readonly seed: Seed;
  readonly data?: string;
  readonly threads?: number;
  readonly monitor?: string;
  readonly jobs: number;
  readonly out: string;
  readonly plot?: string;
  readonly quiet?: true;
  readonly json?: true;
}

/** Options of the command itself; all others are those of `adakit train`, and go there as they are. */
const own = ['config', 'optimizers', 'seeds', 'seed', 'threads', 'monitor', 'jobs', 'out', 'plot', 'quiet', 'json'];

/** Registers `adakit compare`. */
export function addCompareCommand(program: Command, launch?: Launch): void {
  const forwarded: string[] = [];
  const command = addLoopOptions(addTrainingOptions(program.command('compare').option(...dataOption)))
    .summary('which optimizer suits this model and these data?')
    .description(
      'Trains the model with several optimizers from several seeds, each in a process of its own, and reports means and\n' +
        'standard deviations. What has been trained is kept: the same command goes on where it was interrupted.\n' +
        'Exit code: 0 all trained, 1 some trainings failed, 2 an option, file or package is wrong, 130 interrupted.',
    )
    .argument('[model]', 'ONNX file; {seed} in its name stands for the seed, for models that begin differently')
    .option('--optimizers <names>', 'separated by commas, with their defaults; --config gives them settings', list)
    .option('--config <file>', 'JSON file with contenders and options; see below')
    .option('--seeds <n>', 'seeds for each optimizer: --seed, and those that follow (3)', whole(1))
    .option('--jobs <n>', 'trainings at the same time', whole(1), 1)
    .option('--out <dir>', 'folder for what has been trained', 'comparison')
    .option('--plot <file>', 'draw the monitored metric over epochs: .svg, or .png with the package sharp')
    .option('--quiet', 'no progress')
    .option('--json', 'print what came out as JSON')
    .addHelpText('after', `\n${dataHelp}\n${configHelp}`)
    .action(async (path: string | undefined, options: CompareOptions) => {
      const { compare } = await import('./run.js');
      await compare(path, options, forwarded, launch);
    });
  // The words as they were written: parsed values cannot be passed on.
  for (const option of command.options) {
    if (own.includes(option.name())) continue;
    command.on(`option:${option.name()}`, (value: string | null) => {
      forwarded.push(...(value === null ? [`--${option.name()}`] : [`--${option.name()}`, value]));
    });
  }
}

const configHelp = `
A configuration, whose options are those of adakit train; a list as a setting stands for a contender with each:
  {
    "model": "net.onnx", "seeds": 3, "monitor": "accuracy",
    "options": { "data": "fashion-mnist", "epochs": 5, "batch": 128, "metrics": "accuracy" },
    "contenders": [
      { "optimizer": "adam" },
      { "name": "SGD", "optimizer": "sgd", "set": { "momentum": 0.9, "lr": [0.1, 0.01] }, "options": { "clip": 1 } }
    ]
  }

Examples:
  adakit compare net.onnx --data fashion-mnist --optimizers adam,adabelief,adadiff --metrics accuracy --plot loss.svg
  adakit compare --config optimizers.json --jobs 2 --out runs --plot accuracy.png --monitor accuracy
  adakit compare net-{seed}.onnx --data iris --val 0.2 --optimizers adam,lion --seeds 5 --json`;
