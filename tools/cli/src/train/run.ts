import { basename, extname, join } from 'node:path';
import { AdakitError, ema, type Optimizer } from '@adakit/core';
import type { Batch, Dataset } from '@adakit/data';
import { fit, metricText, progress, shortNumber, type Callback, type FitOptions, type FitResult } from '@adakit/fit';
import { jsonLines, tensorBoard } from '@adakit/fit/node';
import { installHint, PluginError, withPackage } from '@adakit/plugins';
import type { TrainingSession } from '@adakit/runner-onnx';
import { Checkpoints } from '@adakit/state/node';
import { INTERRUPTED, withInterruption } from '../interruption.js';
import { loadRule } from '../load-rule.js';
import { memoryLimitOf } from '../memory-limit.js';
import { isSameFile, requireFolder, requireFolderOf } from '../output-place.js';
import { requirePlotFile, writePlot } from '../plot/file.js';
import { oneLine, print } from '../printable.js';
import { STANDARD } from '../standard-streams.js';
import { UsageError } from '../usage-error.js';
import { lossOf, metricsOf, scheduleOf } from './choices.js';
import type { TrainOptions } from './command.js';
import { chosenOptimizer, prepare, startSession, withGradients } from './prepare.js';
import { requireSameSettings } from './resumed-settings.js';
import { TrainingFailure } from './training-failure.js';

/** Runs `adakit train`. */
export async function train(path: string, options: TrainOptions): Promise<void> {
  const { settings } = lossOf(options.loss);
  const metrics = options.metrics === undefined ? [] : metricsOf(options.metrics, settings);
  checkCombinations(options);
  if (options.plot !== undefined) await requirePlotFile('--plot', options.plot);
  if (options.out === STANDARD) throw new UsageError('--out -: a model is written to a file; name one');
  const out = options.out ?? `${path === STANDARD ? 'model' : basename(path, extname(path))}-trained.onnx`;
  requireFolderOf('--out', out);
  if (path !== STANDARD && (await isSameFile(path, out))) {
    throw new UsageError(`--out ${out} is the model that is trained; name another file`);
  }
  if (options.checkpoint !== undefined) await requireFolder('--checkpoint', options.checkpoint);
  if (options.log !== undefined) await requireFolder('--log', options.log);
  const { loaded, settings: hyperparameters } = await optimizerOrHint(options);
  const rule = loadRule(loaded.plugin, hyperparameters);
  const prepared = await prepare(path, options);
  const { batch, epochs, steps, accumulate: collected = 1 } = options;
  const batches = Math.ceil((prepared.training.length ?? 0) / batch);
  const total = Math.min(
    steps ?? Infinity,
    epochs === undefined && steps !== undefined ? Infinity : Math.ceil((batches * (epochs ?? 1)) / collected),
  );
  const optimizer = composed(rule, options, total);
  const store = await openCheckpoints(options, metrics);

  const { precision, stepsPerRun } = options;
  const {
    session,
    batches: data,
    validation,
  } = await startSession(prepared, optimizer, options, {
    precision,
    ...(stepsPerRun > 1 && { stepsPerRun }),
    ...memoryLimitOf(prepared.model, options, batch),
  });
  try {
    if (options.quiet !== true) process.stderr.write(leftOut(session));
    const given: FitOptions = {
      ...(epochs !== undefined && { epochs }),
      ...(steps !== undefined && { steps }),
      metrics,
      ...(options.carry && { carry: options.carry }),
      // What is carried belongs to batches of one size.
      ...(validation && { validation: validation.batch(options.carry ? batch : Math.max(batch, 256)) }),
      ...(store && {
        checkpoints: {
          store: {
            latest: async () => {
              const newest = await store.latest();
              if (newest !== undefined) {
                requireSameSettings(newest.state.optimizer, optimizer, { ...options, settings: hyperparameters });
              }
              return newest;
            },
            best: () => store.best(),
            save: (state, about) => store.save(withPackage(state, loaded), about),
          },
          ...(options.every !== undefined && { everySteps: options.every }),
          resume: options.resume === true,
        },
      }),
    };
    await run(path, out, session, options, given, data);
  } finally {
    await session.dispose();
  }
}

async function run(
  path: string,
  out: string,
  session: TrainingSession,
  options: TrainOptions,
  given: FitOptions,
  batches: Dataset<Batch>,
): Promise<void> {
  const { earlyStop, monitor, log, quiet, json, plot } = options;
  const callbacks: Callback[] = [
    ...(quiet === true ? [] : [progress(process.stderr)]),
    ...(log === undefined ? [] : [jsonLines(join(log, 'log.jsonl')), tensorBoard(log)]),
  ];
  // It goes on to the end of the file: a signal that comes while the model is written ends nothing.
  const result = await withInterruption('finishing the step', async (signal) => {
    try {
      const trained = await fit(session, batches, {
        ...given,
        ...(monitor !== undefined && { monitor }),
        ...(earlyStop !== undefined && { earlyStop: { patience: earlyStop }, restoreBest: true }),
        callbacks,
        signal,
      });
      await session.exportModel(out, { precision: options.exportPrecision });
      return trained;
    } catch (error) {
      const failed = error instanceof AdakitError ? (error as AdakitError<string>) : undefined;
      if (failed === undefined || !failures.has(failed.code)) throw error;
      // Who goes on in the folder of a run that goes on would end that.
      const advice = failed.code === 'other-writer' ? '' : `\n${goOn(options)}`;
      throw new TrainingFailure(`${failed.message}${advice}`, { cause: error });
    }
  });
  if (plot !== undefined) await drawPlot(plot, path, session, result);
  if (json === true)
    print(`${JSON.stringify({ ...result, model: out, backend: session.executionProvider }, null, 2)}\n`);
  else print(summary(out, session, result, plot));
  if (result.reason !== 'aborted') return;
  process.stderr.write(`adakit: interrupted after step ${result.step}. ${goOn(options)}\n`);
  process.exitCode = INTERRUPTED;
}

/** What may be missed among what is trained: nothing, for most models. */
function leftOut({ leftOut: names }: TrainingSession): string {
  if (names.length === 0) return '';
  const [shown, more] = [names.slice(0, 8).map(oneLine).join(', '), names.length - 8];
  return (
    `adakit: not trained, though they may be parameters: ${shown}${more > 0 ? ` and ${more} more` : ''}; ` +
    'adakit check says why, --train-also NAME trains them\n'
  );
}

const failures: ReadonlySet<string> = new Set([
  'non-finite',
  'callback-failed',
  'cannot-read',
  'cannot-write',
  'other-writer',
]);

function goOn({ checkpoint }: TrainOptions): string {
  if (checkpoint === undefined) return 'Without --checkpoint DIR it cannot go on from there.';
  const args = process.argv.slice(2).filter((arg) => arg !== '--resume');
  const quoted = args.map((arg) => (/^[\w@%+=:,./-]+$/.test(arg) ? arg : `'${arg.replaceAll("'", String.raw`'\''`)}'`));
  return `Go on with:\n  adakit ${quoted.join(' ')} --resume`;
}

function checkCombinations({
  checkpoint,
  keep,
  resume,
  every,
  val,
  earlyStop,
  metrics,
  monitor,
  schedule,
  carry,
  stepsPerRun,
}: TrainOptions): void {
  if (carry && stepsPerRun > 1)
    throw new UsageError(
      '--carry takes what comes out of every step, and --steps-per-run gives none of it; leave one out',
    );
  if (resume === true && checkpoint === undefined)
    throw new UsageError('--resume goes on from checkpoints; say where they are with --checkpoint DIR');
  if (keep !== undefined && checkpoint === undefined)
    throw new UsageError('--keep says how many checkpoints stay; say where with --checkpoint DIR');
  if (every !== undefined && checkpoint === undefined)
    throw new UsageError('--every says when to save; say where with --checkpoint DIR');
  if (val === 'none') {
    const needing = Object.entries({ '--early-stop': earlyStop, '--metrics': metrics, '--monitor': monitor }).find(
      ([, value]) => value !== undefined,
    );
    if (needing !== undefined) throw new UsageError(`${needing[0]} needs validation data, and --val is none`);
    if (schedule?.startsWith('plateau') === true)
      throw new UsageError('--schedule plateau follows the validation, and --val is none');
  }
}

/** @throws PluginError, which says what to install where the checkpoints name a package that is not there */
async function optimizerOrHint(options: TrainOptions): ReturnType<typeof chosenOptimizer> {
  try {
    return await chosenOptimizer(options);
  } catch (error) {
    const { checkpoint, resume } = options;
    if (!(error instanceof PluginError) || error.code !== 'unknown-optimizer') throw error;
    if (checkpoint === undefined || resume !== true) throw error;
    const latest = await (await Checkpoints.open(checkpoint)).latest();
    const hint = installHint(latest?.state.versions);
    if (hint === undefined) throw error;
    throw new PluginError(error.code, `${checkpoint} was written with an optimizer that is not there: ${hint}`, {
      cause: error,
    });
  }
}

async function openCheckpoints(
  { checkpoint, keep, resume, monitor = 'loss' }: TrainOptions,
  metrics: FitOptions['metrics'] = [],
): Promise<Checkpoints | undefined> {
  if (checkpoint === undefined) return undefined;
  const better = metrics.find(({ name }) => name === monitor)?.better;
  const store = await Checkpoints.open(checkpoint, {
    ...(keep !== undefined && { keep }),
    best: better === 'higher' ? 'max' : 'min',
  });
  if (resume !== true && (await store.list()).length > 0) {
    throw new UsageError(`${checkpoint} holds the checkpoints of a run; go on with --resume, or name another folder`);
  }
  return store;
}

/** A rule inside accumulation inside clipping inside averages. */
function composed(rule: Optimizer, options: TrainOptions, steps: number): Optimizer {
  const { schedule, warmup, ema: decay } = options;
  const lr = scheduleOf(schedule, warmup, Number.isFinite(steps) ? steps : undefined);
  const optimizer = withGradients(lr === undefined ? rule : rule.withSchedules({ lr }), options);
  return decay === undefined ? optimizer : ema(decay, optimizer);
}

async function drawPlot(
  file: string,
  path: string,
  session: TrainingSession,
  { curve, step }: FitResult,
): Promise<void> {
  // Drawing takes a second to load.
  const { lossPlot } = await import('../plot/loss-plot.js');
  const line = { name: String(session.optimizer), points: curve, color: '#0072b2', dashed: false };
  const svg = await lossPlot([line], {
    title: `Training loss of ${basename(path)}`,
    subtitle: `${step} steps with ${String(session.optimizer)}`,
  });
  await writePlot('--plot', file, svg);
}

function summary(
  out: string,
  session: TrainingSession,
  { reason, detail, step, epochs, history, best }: FitResult,
  plot: string | undefined,
): string {
  const last = history.at(-1);
  const lines = [
    `${reason === 'completed' ? 'trained' : reason}: ${counted(step, 'step')}, ${counted(epochs, 'epoch')} on ${session.executionProvider}${detail === undefined ? '' : `; ${detail}`}`,
    ...(last === undefined
      ? []
      : [
          `training loss ${shortNumber(last.loss)}${last.validation === undefined ? '' : `, validation ${metricText(last.validation)}`}`,
        ]),
    ...(best === undefined ? [] : [`best validation: ${shortNumber(best.value)} at step ${best.step}`]),
    ...Object.entries(last?.validation ?? {}).flatMap(([name, value]) =>
      typeof value === 'number'
        ? []
        : [`${name}:`, ...value.map((row) => `  ${row.map((count) => String(count).padStart(6)).join('')}`)],
    ),
    `model: ${out}`,
    ...(plot === undefined ? [] : [`plot: ${plot}`]),
  ];
  return `${lines.map(oneLine).join('\n')}\n`;
}

const counted = (count: number, what: string): string => `${count} ${what}${count === 1 ? '' : 's'}`;
