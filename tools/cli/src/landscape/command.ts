import { camelCaseKeys } from '@adakit/core';
import { shortNumber } from '@adakit/fit';
import { loadOptimizer, type OptimizerPlugin } from '@adakit/plugins';
import { InvalidArgumentError, type Command } from 'commander';
import { positive, repeated, whole } from '../option-values.js';
import { requirePlotFile, writePlot } from '../plot/file.js';
import { print } from '../printable.js';
import * as factories from '../rules.js';
import { formatTable } from '../table.js';
import { list } from '../train/training-options.js';
import { known, parseSetting } from '../train/words.js';
import { UsageError } from '../usage-error.js';
import { landscapes } from './functions.js';
import type { Way } from './plot.js';
import { trajectory } from './trajectory.js';

interface Options {
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
    .option('--function <name>', Object.keys(landscapes).join(', '), 'rosenbrock')
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
    .action((options: Options) => draw(options));
}

async function draw({ optimizers, function: name, lr, set, steps, start, plot, json }: Options): Promise<void> {
  const landscape = known('--function', name, landscapes);
  await requirePlotFile('--plot', plot);
  const twice = optimizers.find((each, i) => optimizers.indexOf(each) !== i);
  if (twice !== undefined) throw new UsageError(`--optimizers: '${twice}' is there twice`);
  const { objective } = landscape;
  const begin = start ?? ([objective.start[0], objective.start[1]] as const);
  const settings = new Map(optimizers.map((each): [string, Record<string, number | boolean | string>] => [each, {}]));
  for (const text of set) {
    const [key, value] = parseSetting('--set', text);
    const dot = key.lastIndexOf('.');
    if (dot >= 0) known('--set', key.slice(0, dot), Object.fromEntries(settings));
    for (const [each, own] of settings) if (dot < 0 || key.slice(0, dot) === each) own[key.slice(dot + 1)] = value;
  }
  const ways: Way[] = [];
  for (const [each, own] of settings) {
    const { plugin } = await loadOptimizer(each, { included: factories });
    const optimizer = plugin.load({ ...(hasRate(plugin) && { lr }), ...camelCaseKeys(each, own) });
    ways.push({ name: each, trajectory: await trajectory(optimizer, objective, { start: begin, steps }) });
  }
  const { landscapePlot } = await import('./plot.js');
  const svg = await landscapePlot(landscape, ways, {
    title: `Optimizers on the function ${name}`,
    subtitle: `${steps} steps from (${begin.join(', ')}), learning rate ${lr}${set.length === 0 ? '' : `, ${set.join(', ')}`}`,
  });
  await writePlot('--plot', plot, svg);
  if (json === true) print(`${JSON.stringify({ function: name, steps, ways, plot }, null, 2)}\n`);
  else print(summary(ways, plot));
}

const hasRate = ({ hyperparameters }: OptimizerPlugin): boolean => Object.hasOwn(hyperparameters, 'lr');

function summary(ways: readonly Way[], plot: string): string {
  const rows = ways.map(({ name, trajectory: { points, value, diverged } }) => {
    const [x, y] = points[points.length - 1];
    const note = diverged === undefined ? '' : `diverged at step ${diverged}`;
    return [name, note, shortNumber(value), shortNumber(x), shortNumber(y)];
  });
  return `${[...formatTable(['', '', 'value', 'x', 'y'], rows, 2), `plot: ${plot}`].join('\n')}\n`;
}

function point(text: string): readonly [number, number] {
  const numbers = text.split(',').map((part) => (part.trim() === '' ? NaN : Number(part)));
  if (numbers.length === 2 && numbers.every(Number.isFinite)) return [numbers[0], numbers[1]];
  throw new InvalidArgumentError('two numbers are needed, as 0.5,-1.');
}
