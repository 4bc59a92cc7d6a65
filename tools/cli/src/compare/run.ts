import { availableParallelism } from 'node:os';
import { basename, join } from 'node:path';
import { suggestion } from '@adakit/core';
import { shortNumber } from '@adakit/fit';
import { INTERRUPTED, withInterruption } from '../interruption.js';
import { requireFolder } from '../output-place.js';
import { inItsOwnProcess, type Launch } from '../own-process.js';
import { requirePlotFile, writePlot } from '../plot/file.js';
import { print } from '../printable.js';
import { withProgress, type Say } from '../progress.js';
import { formatTable } from '../table.js';
import { UsageError } from '../usage-error.js';
import type { CompareOptions } from './command.js';
import {
  checkContenders,
  contendersNamed,
  folderName,
  readConfiguration,
  type Configuration,
  type Contender,
} from './contenders.js';
import { doRuns, type Outcome, type Run } from './runs.js';
import { epochSpreads, type EpochSpread, type Spread } from './statistics.js';

/** A contender with what came out. */
interface Compared extends Pick<Contender, 'name' | 'optimizer' | 'set'> {
  readonly runs: readonly ({ readonly seed: number } & Outcome)[];
  /** Over the runs that finished. */
  readonly epochs: readonly EpochSpread[];
  /** The last epoch of each run; undefined where none finished one. */
  readonly final?: EpochSpread;
}

/**
 * Runs `adakit compare`.
 *
 * @param forwarded words of the command line that go to `adakit train`
 * @param launch how it is run
 */
export async function compare(
  path: string | undefined,
  options: CompareOptions,
  forwarded: readonly string[],
  launch: Launch = inItsOwnProcess,
): Promise<void> {
  const { json, plot, out, jobs, seed } = options;
  const given: Configuration =
    options.config === undefined ? { options: [], contenders: [] } : await readConfiguration(options.config);
  const contenders = [...given.contenders, ...contendersNamed(options.optimizers ?? [])];
  const model = path ?? given.model;
  if (model === undefined) throw new UsageError('which model? Name an ONNX file, or "model" in the configuration');
  if (contenders.length === 0) throw new UsageError('which optimizers? Give --optimizers a,b,… or --config FILE');
  if (options.data === undefined && !given.options.includes('--data')) {
    throw new UsageError('which data? Give --data, or "data" among the options of the configuration');
  }
  if (seed === 'none') throw new UsageError('--seed none: a comparison goes from seed to seed; leave it out');
  if (plot !== undefined) await requirePlotFile('--plot', plot);
  await requireFolder('--out', out);
  await checkContenders(contenders);
  const monitor = options.monitor ?? given.monitor;
  const seeds = Array.from({ length: options.seeds ?? given.seeds ?? 3 }, (_, i) => seed + i);
  const runs = contenders.flatMap((contender) =>
    seeds.map((each) => runOf(contender, each, { model, out, shared: [...given.options, ...forwarded], monitor })),
  );
  // The processes get a Ctrl-C as well: what runs is saved, and nothing more begins.
  const outcomes = await withInterruption('waiting for what runs to be saved', async (signal) => {
    const share = jobs === 1 ? undefined : Math.max(1, Math.floor(availableParallelism() / jobs));
    return withProgress((say) => {
      const onEnd = options.quiet === true ? () => undefined : reporting(runs.length, say);
      return doRuns(runs, { jobs, threads: options.threads ?? share, launch, signal, onEnd });
    });
  });
  const compared = contenders.map(({ name, optimizer, set }, i): Compared => {
    const mine = outcomes.slice(i * seeds.length, (i + 1) * seeds.length);
    const finished = mine.flatMap((outcome) => (outcome.status === 'finished' ? [outcome.history] : []));
    const final = epochSpreads(finished.map((history) => history.slice(-1))).at(0);
    return {
      name,
      optimizer,
      set,
      runs: mine.map((outcome, j) => ({ seed: seeds[j], ...outcome })),
      epochs: epochSpreads(finished),
      ...(final && { final }),
    };
  });
  const metric = monitoredIn(compared, monitor);
  if (plot !== undefined && compared.some(({ epochs }) => epochs.length > 0)) {
    await draw(plot, compared, metric, { title: given.title ?? `${basename(model)}: ${metric.words}`, seeds });
  }
  print(
    json === true
      ? `${JSON.stringify({ model, seeds, monitor: metric.name, contenders: compared }, null, 2)}\n`
      : summary(compared, plot),
  );
  if (outcomes.some(({ status }) => status === 'interrupted')) {
    process.stderr.write('adakit: interrupted. The same command goes on from there.\n');
    process.exitCode = INTERRUPTED;
  } else if (outcomes.some(({ status }) => status === 'failed')) process.exitCode = 1;
}

function runOf(
  { name, optimizer, set, options }: Contender,
  seed: number,
  about: {
    readonly model: string;
    readonly out: string;
    readonly shared: readonly string[];
    readonly monitor?: string | undefined;
  },
): Run {
  const { model, out, shared, monitor } = about;
  return {
    name: `${name}, seed ${seed}`,
    seed,
    model: model.replaceAll('{seed}', String(seed)),
    folder: join(out, `${folderName(name)}-seed${seed}`),
    options: [
      ...shared,
      ...options,
      ...(monitor === undefined ? [] : ['--monitor', monitor]),
      ...['--optimizer', optimizer],
      ...Object.entries(set).flatMap(([key, value]) => ['--set', `${key}=${String(value)}`]),
      ...['--seed', String(seed)],
    ],
  };
}

function reporting(total: number, say: Say): (run: Run, outcome: Outcome, before: boolean) => void {
  let done = 0;
  return ({ name }, { status }, before) => {
    done++;
    say(`${done} of ${total}: ${name} ${before ? 'was there already' : status}`);
  };
}

/** What is drawn and sorted by. */
interface Monitored {
  /** Of the validation; undefined: the loss of training. */
  readonly name: string | undefined;
  readonly words: string;
  readonly of: (epoch: EpochSpread) => Spread | undefined;
}

function monitoredIn(compared: readonly Compared[], wanted: string | undefined): Monitored {
  const names = new Set(compared.flatMap(({ epochs }) => epochs.flatMap(({ validation }) => Object.keys(validation))));
  const name = wanted ?? (names.has('loss') ? 'loss' : undefined);
  if (name === undefined || names.size === 0) {
    return { name: undefined, words: 'training loss', of: ({ loss }) => loss };
  }
  if (!names.has(name)) {
    throw new UsageError(
      `--monitor ${name} is no number of the validation${suggestion(name, names)} (there are: ${[...names].join(', ')})`,
    );
  }
  return {
    name,
    words: `validation ${name}`,
    of: ({ validation }) => (Object.hasOwn(validation, name) ? validation[name] : undefined),
  };
}

async function draw(
  file: string,
  compared: readonly Compared[],
  { name, words, of }: Monitored,
  { title, seeds }: { readonly title: string; readonly seeds: readonly number[] },
): Promise<void> {
  const { bandPlot } = await import('./plot.js');
  const curves = compared.flatMap(({ name: contender, epochs }) => {
    const points = epochs.flatMap((epoch) => {
      const value = of(epoch);
      return value === undefined ? [] : [{ epoch: epoch.epoch, value }];
    });
    return points.length === 0 ? [] : [{ name: contender, points }];
  });
  const many = seeds.length > 1;
  const svg = await bandPlot(curves, {
    title,
    subtitle: many ? `mean of ${seeds.length} seeds; bands are one standard deviation to each side` : 'one seed',
    axis: words,
    logarithmic: name === undefined || name === 'loss' || name === 'perplexity',
  });
  await writePlot('--plot', file, svg);
}

function summary(compared: readonly Compared[], plot: string | undefined): string {
  const metrics = [...new Set(compared.flatMap(({ final }) => Object.keys(final?.validation ?? {})))];
  const header = ['', 'runs', 'epochs', 'training loss', ...metrics.map((name) => `validation ${name}`)];
  const rows = compared.map(({ name, runs, epochs, final }) => {
    const finished = runs.filter(({ status }) => status === 'finished').length;
    return [
      name,
      finished === runs.length ? String(finished) : `${finished} of ${runs.length}`,
      String(epochs.length),
      spreadText(final?.loss),
      ...metrics.map((metric) => spreadText(final?.validation[metric])),
    ];
  });
  const failures = compared.flatMap(({ name, runs }) =>
    runs.flatMap((run) => (run.status === 'failed' ? [`failed: ${name}, seed ${run.seed}: ${run.message}`] : [])),
  );
  const lines = [
    ...formatTable(header, rows, 1),
    'mean ± standard deviation over runs, each at its last epoch',
    ...failures,
    ...(plot === undefined ? [] : [`plot: ${plot}`]),
  ];
  return `${lines.join('\n')}\n`;
}

function spreadText(value: Spread | undefined): string {
  if (value === undefined) return '';
  const { mean, deviation } = value;
  return deviation === undefined ? shortNumber(mean) : `${shortNumber(mean)} ± ${shortNumber(deviation)}`;
}
