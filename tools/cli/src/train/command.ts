import { basename, extname, join } from 'node:path';
import { accumulate, AdakitError, clipByGlobalNorm, ema, type Optimizer } from '@adakit/core';
import type { Batch, Dataset } from '@adakit/data';
import { fit, metricText, progress, shortNumber, type Callback, type FitOptions, type FitResult } from '@adakit/fit';
import { jsonLines, tensorBoard } from '@adakit/fit/node';
import { checkModel, type ComputePrecision } from '@adakit/onnx';
import { installHint, loadOptimizer, PluginError, withPackage, type LoadedOptimizer } from '@adakit/plugins';
import { TrainingSession } from '@adakit/runner-onnx';
import { Checkpoints, writeFileAtomically } from '@adakit/state/node';
import { InvalidArgumentError, type Command } from 'commander';
import { hyperparameterLines } from '../hyperparameter-lines.js';
import { optimizerNames } from '../optimizers.js';
import * as factories from '../rules.js';
import { computePrecision, positive, repeated, whole } from '../option-values.js';
import { oneLine, print } from '../printable.js';
import { addSelectionOptions, selectionOf, type SelectionOptions } from '../selection.js';
import { addSpecializeOptions, openModel, type SpecializeOptions } from '../specialize.js';
import { UsageError } from '../usage-error.js';
import { bindFields } from './bind-fields.js';
import { losses, lossOf, metricNames, metricsOf, scheduleNames, scheduleOf } from './choices.js';
import type { LoadedData } from './builtin-data.js';
import { dataHelp, loadData, type DataContext } from './data-spec.js';
import { TrainingFailure } from './training-failure.js';
import { parseSetting } from './words.js';

interface Options extends SpecializeOptions, SelectionOptions {
  readonly data: string;
  readonly val?: string;
  readonly target?: string;
  readonly features?: readonly string[];
  readonly field: Readonly<Record<string, string>>;
  readonly sequence?: number;
  readonly take?: number;
  readonly loss: string;
  readonly optimizer: string;
  readonly set: readonly string[];
  readonly schedule?: string;
  readonly warmup?: number;
  readonly clip?: number;
  readonly accumulate?: number;
  readonly ema?: number;
  readonly epochs?: number;
  readonly steps?: number;
  readonly batch: number;
  readonly seed: number;
  readonly metrics?: string;
  readonly monitor?: string;
  readonly earlyStop?: number;
  readonly checkpoint?: string;
  readonly every?: number;
  readonly keep: number;
  readonly resume?: true;
  readonly backend: readonly string[];
  readonly precision: ComputePrecision;
  readonly exportPrecision: 'file' | 'float32';
  readonly out?: string;
  readonly plot?: string;
  readonly log?: string;
  readonly quiet?: true;
  readonly json?: true;
}

/** Registers `adakit train`. */
export function addTrainCommand(program: Command): void {
  addSelectionOptions(addSpecializeOptions(program.command('train')))
    .summary('train an ONNX model on data')
    .description(
      'Trains a model and writes it with the trained weights: an inference model again.\n' +
        'Exit code: 0 trained, 1 training failed (what there was is saved), 2 an option, file or package is wrong,\n' +
        '130 interrupted by Ctrl-C (what there was is saved).',
    )
    .argument('<model>', 'ONNX file')
    .requiredOption('--data <spec>', 'data to train on: mnist, FILE.csv, …; see below')
    .option(
      '--val <spec>',
      'data to validate with, a share of the training data such as 0.1, or none; by default those that come with the data',
    )
    .option('--target <column>', 'of a table: what is learnt')
    .option(
      '--features <columns>',
      'of a table: what it is learnt from, separated by commas; by default all others',
      list,
    )
    .option(
      '--field <name=field>',
      'which field of the data an input or target of the model is; may be repeated',
      field,
      {},
    )
    .option('--sequence <n>', 'of a text: characters at a time, where the model leaves it open (64)', whole(1))
    .option('--take <n>', 'use the first n examples alone', whole(1))
    .option(
      '--loss <name>',
      `${Object.keys(losses).join(', ')}; settings as cross-entropy:labelSmoothing=0.1,classAxis=2`,
      'cross-entropy',
    )
    .option(
      '--optimizer <name>',
      'one that comes with the command, a package, or the path of a module; see adakit optimizers',
      'adam',
    )
    .option('--set <name=value>', 'hyperparameter of the optimizer; may be repeated', repeated, [])
    .option('--schedule <name>', `of the learning rate: ${scheduleNames.join(', ')}; settings as cosine:floor=0.1`)
    .option('--warmup <steps>', 'let the learning rate rise first', whole(1))
    .option('--clip <norm>', 'clip gradients to this norm over all parameters', positive)
    .option('--accumulate <n>', 'collect the gradients of so many batches for a step', whole(1))
    .option('--ema <decay>', 'average the weights over steps; what is validated and written is the average', positive)
    .option('--epochs <n>', 'passes over the data (1, unless --steps is given)', whole(1))
    .option('--steps <n>', 'steps in all', whole(1))
    .option('--batch <n>', 'examples in a batch', whole(1), 32)
    .option('--seed <n>', 'of all that is random', whole(0), 0)
    .option('--metrics <names>', `of the validation, separated by commas: ${metricNames.join(', ')}`)
    .option('--monitor <name>', 'the metric that says which validation is best (loss)')
    .option('--early-stop <n>', 'end when n validations in a row were not better, with the best weights', whole(1))
    .option('--checkpoint <dir>', 'save the training there, to go on from')
    .option('--every <steps>', 'save after so many steps, beside every epoch', whole(1))
    .option('--keep <n>', 'checkpoints to keep', whole(1), 3)
    .option('--resume', 'go on from the newest checkpoint, or start if there is none')
    .option('--backend <names>', 'execution providers of ONNX Runtime, tried in order: cpu, cuda, webgpu, …', list, [
      'cpu',
    ])
    .option(
      '--precision <type>',
      'what products are computed in: float32, float16 (with a scaled loss) or, with cuda, bfloat16; weights stay float32',
      computePrecision,
      'float32',
    )
    .option(
      '--export-precision <which>',
      'element types of the written model: those of the file, or float32',
      exportPrecision,
      'file',
    )
    .option('--out <file>', 'where the trained model goes (NAME-trained.onnx in the current folder)')
    .option('--plot <file>', 'draw the training loss as SVG')
    .option('--log <dir>', 'log to DIR/log.jsonl, and for tensorboard --logdir DIR')
    .option('--quiet', 'no progress')
    .option('--json', 'print what came out as JSON')
    .addHelpText('after', ({ command }) => `\n${dataHelp}\n${optimizerHelp(command)}${examples}`)
    .action((path: string, options: Options) => train(path, options));
}

const examples =
  '\nExamples:\n' +
  '  adakit train mnist-cnn.onnx --data mnist --optimizer adadiff --epochs 3 --metrics accuracy --plot loss.svg\n' +
  '  adakit train mlp.onnx --data iris --val 0.2 --set lr=0.01 --epochs 100 --early-stop 10\n' +
  '  adakit train net.onnx --data houses.csv --target price --loss mse --checkpoint run --every 100\n' +
  '  adakit train net.onnx --data houses.csv --target price --loss mse --checkpoint run --every 100 --resume\n' +
  '  adakit train lm.onnx --data text:book.txt --loss cross-entropy:classAxis=2 --schedule cosine --warmup 100 --clip 1';

/** Hyperparameters of the optimizer on the command line, where it comes with the command. */
function optimizerHelp(command: Command): string {
  const { optimizer } = command.opts<{ optimizer: string }>();
  const name = optimizerNames.find((each) => each === optimizer);
  if (name === undefined)
    return `\nOptimizers: ${optimizerNames.join(', ')}; adakit optimizers NAME says what --set takes.\n`;
  return `\nOptimizers: ${optimizerNames.join(', ')}. ${optimizer} takes --set\n${hyperparameterLines(factories[name])
    .map((line) => `  ${line}`)
    .join('\n')}\n`;
}

async function train(path: string, options: Options): Promise<void> {
  const settings = lossOf(options.loss);
  const metrics = options.metrics === undefined ? [] : metricsOf(options.metrics, settings.settings);
  checkCombinations(options);
  const loaded = await chosenOptimizer(options);
  const rule = loaded.plugin.load(Object.fromEntries(options.set.map((text) => parseSetting('--set', text))));
  const model = await openModel(path, options);
  const { inputs } = checkModel(model);
  const { training, validation, classes } = await prepareData(options, { inputs, classifies: settings.classifies });
  const { batch, epochs, steps, accumulate: collected = 1 } = options;
  const batches = Math.ceil((training.length ?? 0) / batch);
  const total = Math.min(
    steps ?? Infinity,
    epochs === undefined && steps !== undefined ? Infinity : Math.ceil((batches * (epochs ?? 1)) / collected),
  );
  const optimizer = composed(rule, options, total);
  const store = await openCheckpoints(options, metrics);

  const session = await TrainingSession.create({
    model,
    loss: settings.loss,
    optimizer,
    executionProviders: options.backend,
    precision: options.precision,
    ...selectionOf(options),
  });
  try {
    const inputNames = inputs.map(({ name }) => name);
    const targets = session.inputs.map(({ name }) => name).filter((name) => !inputNames.includes(name));
    requireClasses(session, classes, options.data);
    const wanted = { inputs: inputNames, targets };
    const bound = await bindFields(training, wanted, options.field);
    const validated = validation && (await bindFields(validation, wanted, options.field));
    await run(
      path,
      session,
      options,
      {
        ...(epochs !== undefined && { epochs }),
        ...(steps !== undefined && { steps }),
        metrics,
        ...(validated && { validation: validated.batch(Math.max(batch, 256)) }),
        ...(store && {
          checkpoints: {
            store: {
              latest: () => store.latest(),
              best: () => store.best(),
              save: (state, about) => store.save(withPackage(state, loaded), about),
            },
            ...(options.every !== undefined && { everySteps: options.every }),
            resume: options.resume === true,
          },
        }),
      },
      bound.shuffle(options.seed).batch(batch),
    );
  } finally {
    await session.dispose();
  }
}

async function run(
  path: string,
  session: TrainingSession,
  options: Options,
  given: FitOptions,
  batches: Dataset<Batch>,
): Promise<void> {
  const { earlyStop, monitor, log, quiet, json, plot } = options;
  const interruption = new AbortController();
  const interrupt = (): void => {
    interruption.abort();
    process.stderr.write('\nadakit: finishing the step; once more ends at once\n');
  };
  // Only the first: a second one ends the process.
  process.once('SIGINT', interrupt);
  process.once('SIGTERM', interrupt);
  const callbacks: Callback[] = [
    ...(quiet === true ? [] : [progress(process.stderr)]),
    ...(log === undefined ? [] : [jsonLines(join(log, 'log.jsonl')), tensorBoard(log)]),
  ];
  const out = options.out ?? `${basename(path, extname(path))}-trained.onnx`;
  let result: FitResult;
  try {
    result = await fit(session, batches, {
      ...given,
      ...(monitor !== undefined && { monitor }),
      ...(earlyStop !== undefined && { earlyStop: { patience: earlyStop }, restoreBest: true }),
      callbacks,
      signal: interruption.signal,
    });
  } catch (error) {
    const failed = error instanceof AdakitError ? (error as AdakitError<string>) : undefined;
    if (failed === undefined || !failures.has(failed.code)) throw error;
    throw new TrainingFailure(`${failed.message}\n${goOn(options)}`, { cause: error });
  } finally {
    process.removeListener('SIGINT', interrupt);
    process.removeListener('SIGTERM', interrupt);
  }
  await session.exportModel(out, { precision: options.exportPrecision });
  if (plot !== undefined) await drawPlot(plot, path, session, result);
  if (json === true)
    print(`${JSON.stringify({ ...result, model: out, backend: session.executionProvider }, null, 2)}\n`);
  else print(summary(out, session, result, plot));
  if (result.reason !== 'aborted') return;
  process.stderr.write(`adakit: interrupted after step ${result.step}. ${goOn(options)}\n`);
  process.exitCode = 130;
}

const failures: ReadonlySet<string> = new Set(['non-finite', 'callback-failed', 'cannot-write', 'other-writer']);

function goOn({ checkpoint }: Options): string {
  if (checkpoint === undefined) return 'Without --checkpoint DIR it cannot go on from there.';
  const args = process.argv.slice(2).filter((arg) => arg !== '--resume');
  const quoted = args.map((arg) => (/^[\w@%+=:,./-]+$/.test(arg) ? arg : `'${arg.replaceAll("'", String.raw`'\''`)}'`));
  return `Go on with:\n  adakit ${quoted.join(' ')} --resume`;
}

function checkCombinations({
  checkpoint,
  resume,
  every,
  val,
  earlyStop,
  metrics,
  monitor,
  target,
  data,
  schedule,
}: Options): void {
  if (resume === true && checkpoint === undefined)
    throw new UsageError('--resume goes on from checkpoints; say where they are with --checkpoint DIR');
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
  if (target !== undefined && !/\.(csv|tsv|jsonl|ndjson|parquet)$/i.test(data)) {
    throw new UsageError(`--target names a column of a table, and ${data} is none`);
  }
}

/** @throws PluginError, which says what to install where the checkpoints name a package that is not there */
async function chosenOptimizer({ optimizer, checkpoint, resume }: Options): Promise<LoadedOptimizer> {
  try {
    return await loadOptimizer(optimizer, { included: factories });
  } catch (error) {
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
  { checkpoint, keep, resume, monitor = 'loss' }: Options,
  metrics: FitOptions['metrics'] = [],
): Promise<Checkpoints | undefined> {
  if (checkpoint === undefined) return undefined;
  const better = metrics.find(({ name }) => name === monitor)?.better;
  const store = await Checkpoints.open(checkpoint, { keep, best: better === 'higher' ? 'max' : 'min' });
  if (resume !== true && (await store.list()).length > 0) {
    throw new UsageError(`${checkpoint} holds the checkpoints of a run; go on with --resume, or name another folder`);
  }
  return store;
}

async function prepareData(
  { data: spec, val, target, features, sequence, take, seed, earlyStop, metrics, schedule }: Options,
  about: Pick<DataContext, 'inputs' | 'classifies'>,
): Promise<{ training: LoadedData['data']; validation?: LoadedData['data']; classes?: readonly string[] }> {
  const context: DataContext = {
    ...about,
    folder: process.cwd(),
    ...(target !== undefined && { target }),
    ...(features !== undefined && { features }),
    ...(sequence !== undefined && { sequence }),
  };
  const { data: all, validation: own, classes } = await loadData(spec, context);
  const data = take === undefined ? all : all.take(take);
  const found = classes === undefined ? {} : { classes };
  const share = val === undefined ? NaN : Number(val);
  if (!Number.isNaN(share)) {
    if (!(share > 0 && share < 1))
      throw new UsageError(`--val ${String(val)}: a share is between 0 and 1, such as 0.1`);
    const [training, validation] = data.split([1 - share, share], { seed });
    if (validation.length === 0)
      throw new UsageError(`--val ${String(val)}: of ${String(data.length)} examples none is left to validate with`);
    return { training, validation, ...found };
  }
  if (val !== undefined && val !== 'none') {
    const { data: validation } = await loadData(val, { ...context, ...found });
    return { training: data, validation, ...found };
  }
  if (own !== undefined && val !== 'none') return { training: data, validation: own, ...found };
  const needing = Object.entries({
    '--early-stop': earlyStop,
    '--metrics': metrics,
    '--schedule plateau': schedule?.startsWith('plateau') === true ? true : undefined,
  });
  const [name] = needing.find(([, value]) => value !== undefined) ?? [];
  if (name !== undefined)
    throw new UsageError(`${name} needs validation data, and ${spec} comes without; give --val 0.1, say`);
  return { training: data, ...found };
}

/** Groups inside accumulation inside clipping inside averages. */
function composed(
  rule: Optimizer,
  { schedule, warmup, accumulate: every, clip, ema: decay }: Options,
  steps: number,
): Optimizer {
  const lr = scheduleOf(schedule, warmup, Number.isFinite(steps) ? steps : undefined);
  let optimizer = lr === undefined ? rule : rule.withSchedules({ lr });
  if (every !== undefined) optimizer = accumulate(every, optimizer);
  if (clip !== undefined) optimizer = clipByGlobalNorm(clip, optimizer);
  if (decay !== undefined) optimizer = ema(decay, optimizer);
  return optimizer;
}

function requireClasses({ inputs }: TrainingSession, classes: readonly string[] | undefined, spec: string): void {
  const most = inputs.flatMap((input) => ('classes' in input ? input.classes : [])).at(0);
  if (classes === undefined || most === undefined || classes.length <= most) return;
  const shown = classes
    .slice(0, 12)
    .map((name) => JSON.stringify(name))
    .join(', ');
  throw new UsageError(
    `${spec} has ${classes.length} classes (${shown}${classes.length > 12 ? ', …' : ''}), and the model tells ${most} apart; it needs a larger last layer`,
  );
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
  await writeFileAtomically(file, Buffer.from(svg));
}

function summary(
  out: string,
  session: TrainingSession,
  { reason, detail, step, epochs, history, best }: FitResult,
  plot: string | undefined,
): string {
  const last = history.at(-1);
  const lines = [
    `${reason === 'completed' ? 'trained' : reason}: ${step} steps, ${epochs} epochs on ${session.executionProvider}${detail === undefined ? '' : `; ${detail}`}`,
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

const list = (text: string): string[] => text.split(',').map((each) => each.trim());

function field(text: string, before: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const at = text.lastIndexOf('=');
  if (at < 1 || at === text.length - 1) throw new InvalidArgumentError('name=field is needed.');
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) };
}

function exportPrecision(text: string): 'file' | 'float32' {
  if (text === 'file' || text === 'float32') return text;
  throw new InvalidArgumentError('it is file or float32.');
}
