import { basename } from 'node:path';
import { AdakitError } from '@adakit/core';
import { matchInputs, type Batch, type Dataset } from '@adakit/data';
import { shortNumber } from '@adakit/fit';
import type { TrainingSession } from '@adakit/runner-onnx';
import type { Command } from 'commander';
import { positive, whole } from '../option-values.js';
import { requirePlotFile, writePlot } from '../plot/file.js';
import { print } from '../printable.js';
import { Progress } from '../progress.js';
import { dataHelp } from '../train/data-spec.js';
import { chosenOptimizer, prepare, startSession, withGradients } from '../train/prepare.js';
import { TrainingFailure } from '../train/training-failure.js';
import {
  addOptimizerOptions,
  addTrainingOptions,
  dataOption,
  type OptimizerOptions,
  type TrainingOptions,
} from '../train/training-options.js';
import { UsageError } from '../usage-error.js';
import { rangeTest, type RangeResult } from './range-test.js';

interface Options extends TrainingOptions, OptimizerOptions {
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
    .action((path: string, options: Options) => find(path, options));
}

async function find(path: string, options: Options): Promise<void> {
  const { from, to, steps, plot, json } = options;
  if (from >= to) throw new UsageError(`--from ${from} must be below --to ${to}`);
  if (plot !== undefined) await requirePlotFile('--plot', plot);
  const { loaded, settings } = await chosenOptimizer(options);
  if (!Object.hasOwn(loaded.plugin.hyperparameters, 'lr')) {
    throw new UsageError(`${loaded.plugin.optimizerName} has no learning rate 'lr' to look for`);
  }
  if (Object.hasOwn(settings, 'lr')) {
    throw new UsageError('--set lr is what is looked for; leave it out, and say the range with --from and --to');
  }
  const optimizer = withGradients(loaded.plugin.load({ ...settings, lr: from }), options);
  const prepared = await prepare(path, { ...options, val: 'none' });
  const { session, batches } = await startSession(prepared, optimizer, options);
  const progress = new Progress();
  let found: RangeResult;
  try {
    const next = endless(session, batches);
    let step = 0;
    found = await rangeTest({ from, to, steps }, async (lr) => {
      progress.update(`step ${++step} of ${steps}, learning rate ${shortNumber(lr)}`);
      return stepAt(session, lr, next, options.accumulate ?? 1);
    });
  } finally {
    progress.clear();
    await session.dispose();
  }
  const about = { optimizer: String(optimizer), from, to, ...found };
  if (plot !== undefined && found.points.length > 0) await draw(plot, path, String(optimizer), found);
  print(json === true ? `${JSON.stringify(about, null, 2)}\n` : summary(found, plot));
  if (found.minimumTenth === undefined) throw new TrainingFailure(failure(found, from));
}

/** Batches for ever, as the session wants them. */
function endless(session: TrainingSession, batches: Dataset<Batch>): () => Promise<Batch> {
  const reader = batches.reader();
  const match = matchInputs(session.inputs);
  return async () => {
    const batch = (await reader.next()) ?? (await reader.next());
    if (batch === undefined) throw new UsageError(`there is not one batch in ${batches.description}`);
    return match(batch);
  };
}

/** A step, from as many batches as make one. @returns their mean loss, undefined where something was not finite */
async function stepAt(
  session: TrainingSession,
  lr: number,
  next: () => Promise<Batch>,
  batches: number,
): Promise<number | undefined> {
  session.setHyperparameters({ lr });
  let sum = 0;
  try {
    for (let i = 0; i < batches; i++) sum += (await session.step(await next())).loss;
  } catch (error) {
    if (error instanceof AdakitError && error.code === 'non-finite') return undefined;
    throw error;
  }
  return sum / batches;
}

async function draw(file: string, path: string, optimizer: string, found: RangeResult): Promise<void> {
  const { rangePlot } = await import('./plot.js');
  const svg = await rangePlot(found, {
    title: `Learning rates for ${basename(path)}`,
    subtitle: `${optimizer}, ${found.points.length} steps; points are batches, the line their average`,
  });
  await writePlot('--plot', file, svg);
}

const ends: Readonly<Record<RangeResult['end'], string>> = {
  completed: 'the loss did not diverge; a higher --to may show more',
  diverged: 'ended where the loss diverged',
  'not-finite': 'ended where the loss was not finite any more',
};

function summary({ points, end, steepest, minimumTenth }: RangeResult, plot: string | undefined): string {
  const last = points.at(-1);
  const lines = [
    ...(last === undefined
      ? []
      : [`${points.length} steps, up to a learning rate of ${shortNumber(last.lr)}; ${ends[end]}`]),
    ...(steepest === undefined ? [] : [`steepest descent: lr=${shortNumber(steepest)}`]),
    ...(minimumTenth === undefined ? [] : [`minimum / 10:     lr=${shortNumber(minimumTenth)}`]),
    ...(plot === undefined || points.length === 0 ? [] : [`plot: ${plot}`]),
  ];
  return `${lines.join('\n')}\n`;
}

function failure({ points, end }: RangeResult, from: number): string {
  if (points.length === 0) return 'the loss or its gradient is not finite before the first step; look at the data';
  return end === 'completed'
    ? 'the loss never fell; look at the data and the loss, or take more --steps'
    : `the loss never fell before it diverged; begin below --from ${from}`;
}
