import { InvalidArgumentError, type Command } from 'commander';
import { functionNames } from '../known-names.js';
import { positive, repeated, whole } from '../option-values.js';
import { list } from '../train/training-options.js';

/** What `adakit landscape` has to be told. */
export interface LandscapeOptions {
  readonly optimizers: readonly string[];
  readonly function: string;
  readonly lr: number;
  readonly set: readonly string[];
  readonly steps: number;
  readonly start?: readonly [number, number];
  readonly plot: string;
  readonly json?: true;
}

/** Registers `adakit landscape`. */
export function addLandscapeCommand(program: Command): void {
  program
    .command('landscape')
    .summary('draw the ways that optimizers take over a function of two numbers')
    .description(
      'Runs optimizers on the reference device, in float64, and draws their ways over lines of equal value. A circle is\n' +
        'where they begin, dots where they end, crosses are minima. Exit code: 0 drawn, 2 an option or package is wrong.',
    )
    .requiredOption('--optimizers <names>', 'separated by commas; see adakit optimizers', list)
    .option('--function <name>', functionNames.join(', '), 'rosenbrock')
    .option('--lr <rate>', 'learning rate of all that have one', positive, 0.01)
    .option('--set <name=value>', 'hyperparameter of one, as adam.beta1=0.5, or of all; may be repeated', repeated, [])
    .option('--steps <n>', 'steps', whole(1), 500)
    .option('--start <x,y>', 'where to begin; by default each function says', point)
    .option('--plot <file>', 'where the plot goes: .svg, or .png with the package sharp', 'landscape.svg')
    .option('--json', 'print the ways as JSON')
    .addHelpText(
      'after',
      '\nExamples:\n' +
        '  adakit landscape --optimizers adam,adabelief --function rosenbrock --plot ways.png\n' +
        '  adakit landscape --optimizers sgd,adam --function beale --set sgd.momentum=0.9 --set adam.lr=0.1\n' +
        '  adakit landscape --optimizers lion,adam --function himmelblau --start=-1,4 --json',
    )
    .action(async (options: LandscapeOptions) => {
      const { drawLandscape } = await import('./run.js');
      await drawLandscape(options);
    });
}

function point(text: string): readonly [number, number] {
  const numbers = text.split(',').map((part) => (part.trim() === '' ? NaN : Number(part)));
  if (numbers.length === 2 && numbers.every(Number.isFinite)) return [numbers[0], numbers[1]];
  throw new InvalidArgumentError('two numbers are needed, as 0.5,-1.');
}
