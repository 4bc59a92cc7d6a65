import { basename } from 'node:path';
import { AdakitError } from '@adakit/core';
import { matchInputs, type Batch, type Dataset } from '@adakit/data';
import { shortNumber } from '@adakit/fit';
import type { TrainingSession } from '@adakit/runner-onnx';
import { requirePlotFile, writePlot } from '../plot/file.js';
import { print } from '../printable.js';
import { withProgress } from '../progress.js';
import { chosenOptimizer, prepare, startSession, withGradients } from '../train/prepare.js';
import { TrainingFailure } from '../train/training-failure.js';
import { UsageError } from '../usage-error.js';
import type { LrFindOptions } from './command.js';
import { rangeTest, type RangeResult } from './range-test.js';

/** Runs `adakit lr-find`. */
export async function findRate(path: string, options: LrFindOptions): Promise<void> {
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
  let found: RangeResult;
  try {
    const next = endless(session, batches);
    let step = 0;
    found = await withProgress((say) =>
      rangeTest({ from, to, steps }, async (lr) => {
        say(`step ${++step} of ${steps}, learning rate ${shortNumber(lr)}`);
        return stepAt(session, lr, next, options.accumulate ?? 1);
      }),
    );
  } finally {
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
