import { basename } from 'node:path';
import { elementCount, wasmDevice, type Optimizer, type ParameterSpec } from '@adakit/core';
import { matchInputs, type Batch } from '@adakit/data';
import { shortNumber } from '@adakit/fit';
import { loadOptimizer } from '@adakit/plugins';
import type { RuntimeReport } from '@adakit/runner-onnx';
import { machine, type Machine } from '../machine.js';
import { print } from '../printable.js';
import { withProgress, type Say } from '../progress.js';
import { included } from '../included.js';
import { formatTable } from '../table.js';
import { prepare, startSession, withGradients, type Prepared, type Started } from '../train/prepare.js';
import { UsageError } from '../usage-error.js';
import type { BenchOptions } from './command.js';
import { compare, ratioOf, timed, type Contender, type Times } from './compare.js';
import { bytesMoved, precisely, triad, update } from './update.js';

/** Milliseconds after which the threads of ONNX Runtime have stopped looking for more work. */
const REST = 50;

/** Calls ahead of the one that counts, which wake threads and fill caches as a loop of steps would. */
const RUN_UP = 2;

/** How long something takes, in ms. */
type Spread = Omit<Times, 'all'>;

/** What was measured of an optimizer. */
interface OptimizerReport {
  readonly name: string;
  /** From the model in memory to the end of the first step. */
  readonly start: number;
  /** On as many batches as make one. */
  readonly step: Spread;
  readonly examplesPerSecond: number;
  /** The update alone, where it is the host's. */
  readonly update?: Spread & {
    /** Of the time of a step. */
    readonly share: number;
    /** That are read and written. */
    readonly bytes: number;
    /** Bytes a second, against those of the triad. More than 1 where caches hold a part of the state. */
    readonly ofMemorySpeed: number;
  };
}

/** What the command prints. */
interface Report {
  readonly model: string;
  /** Elements of the parameters that are trained. */
  readonly parameters: number;
  readonly data: string;
  /** Examples in a batch. */
  readonly batch: number;
  readonly machine: Machine;
  readonly runtime: RuntimeReport;
  readonly rounds: number;
  /** Until a batch is there. A loop does so while a step computes. */
  readonly loading: Spread;
  readonly evaluation: Spread;
  readonly optimizers: readonly OptimizerReport[];
  /** Bytes of memory that the process has had at most. */
  readonly peakMemory: number;
}

/** Runs `adakit bench`. */
export async function bench(path: string, options: BenchOptions): Promise<void> {
  const rules = await Promise.all(options.optimizers.map((name) => ruleNamed(name, options)));
  const prepared = await prepare(path, { ...options, val: 'none' });
  const subjects: Subject[] = [];
  try {
    const report = await withProgress(async (say) => {
      for (const [i, rule] of rules.entries()) {
        say(`starting session ${i + 1} of ${rules.length}`);
        subjects.push(await startSubject(options.optimizers[i], rule, prepared, options));
      }
      return measure(path, subjects, options, say);
    });
    print(options.json === true ? `${JSON.stringify(report, null, 2)}\n` : text(report));
  } finally {
    await Promise.all(subjects.map(({ session }) => session.dispose()));
  }
}

/** @throws PluginError, AdakitError; UsageError for a name that is given twice */
async function ruleNamed(name: string, { optimizers }: BenchOptions): Promise<Optimizer> {
  if (optimizers.indexOf(name) !== optimizers.lastIndexOf(name))
    throw new UsageError(`--optimizers names ${name} twice`);
  const { plugin } = await loadOptimizer(name, { included });
  const needsRate = Object.entries(plugin.hyperparameters).some(
    ([key, { default: standard }]) => key === 'lr' && standard === undefined,
  );
  // What a step costs does not depend on its length.
  return plugin.load(needsRate ? { lr: 1e-3 } : {});
}

/** What is measured: a session that has taken its first step. */
interface Subject extends Started {
  readonly name: string;
  readonly rule: Optimizer;
  /** That all steps are taken on. */
  readonly batch: Batch;
  readonly start: number;
}

async function startSubject(
  name: string,
  rule: Optimizer,
  prepared: Prepared,
  options: BenchOptions,
): Promise<Subject> {
  const began = performance.now();
  // A hundred steps on one batch may lead anywhere; what they cost is the same.
  const started = await startSession(prepared, withGradients(rule, options), options, { nonFinite: 'skip' });
  const created = performance.now() - began;
  try {
    const read = await started.batches.reader().next();
    if (read === undefined) throw new UsageError(`there is not one batch in ${started.batches.description}`);
    const batch = matchInputs(started.session.inputs)(read);
    const first = await timed(() => started.session.step(batch))();
    return { ...started, name, rule, batch, start: created + first };
  } catch (error) {
    await started.session.dispose();
    throw error;
  }
}

async function measure(
  path: string,
  subjects: readonly Subject[],
  { accumulate = 1, clip, rounds, data }: BenchOptions,
  say: Say,
): Promise<Report> {
  const [{ session, batch, batches }] = subjects;
  const parameters = session.parameterSpecs;
  const elements = parameters.reduce((sum, { shape }) => sum + elementCount(shape), 0);
  // Elsewhere the update is a part of the graph, or of what runs on the device.
  const updates = session.executionProvider === 'cpu' ? updatesOf(subjects, parameters, clip) : [];
  const contenders: Readonly<Record<string, Contender>> = {
    loading: loadingOf(batches),
    evaluation: timed(() => session.evaluate(batch)),
    ...Object.fromEntries(subjects.map((subject) => [`step ${subject.name}`, stepOf(subject, accumulate)])),
    ...(updates.length > 0 && { triad: precisely(triad(elements)) }),
    ...Object.fromEntries(updates.map(({ name, contender }) => [`update ${name}`, contender])),
  };
  const onRound = (round: number, of: number) => {
    say(`round ${round} of ${of}`);
  };
  const times = await compare(contenders, { rounds, rest: REST, runUp: RUN_UP, onRound });
  const examples = batch[session.inputs[0].name].dims[0];
  return {
    model: path,
    parameters: elements,
    data,
    batch: examples,
    machine: machine(),
    runtime: session.runtime,
    rounds,
    loading: spread(times['loading']),
    evaluation: spread(times['evaluation']),
    optimizers: subjects.map(({ name, start }) => {
      const step = times[`step ${name}`];
      const alone = updates.find((each) => each.name === name);
      return {
        name,
        start,
        step: spread(step),
        examplesPerSecond: (1000 * examples * accumulate) / step.median,
        ...(alone && {
          update: {
            ...spread(times[`update ${name}`]),
            share: ratioOf(times[`update ${name}`], step),
            bytes: alone.bytes,
            ofMemorySpeed: (alone.bytes / (12 * elements)) * ratioOf(times['triad'], times[`update ${name}`]),
          },
        }),
      };
    }),
    peakMemory: 1024 * process.resourceUsage().maxRSS,
  };
}

/** A step, from as many batches as make one. */
function stepOf({ session, batch }: Subject, batches: number): Contender {
  return timed(async () => {
    for (let i = 0; i < batches; i++) await session.step(batch);
  });
}

/** A batch of the data, as a loop gets it; what runs ahead of a loop has been used up by the calls before. */
function loadingOf(batches: Started['batches']): Contender {
  const reader = batches.reader();
  // Data that are at their end are read again.
  return timed(async () => (await reader.next()) ?? reader.next());
}

/** The updates alone: what a step does with gradients that are there. */
function updatesOf(
  subjects: readonly Subject[],
  parameters: readonly ParameterSpec[],
  clip: number | undefined,
): readonly { readonly name: string; readonly bytes: number; readonly contender: Contender }[] {
  return subjects.map(({ name, rule }) => {
    const optimizer = withGradients(rule, clip === undefined ? {} : { clip });
    return {
      name,
      bytes: bytesMoved(optimizer, parameters),
      contender: precisely(update(wasmDevice(), optimizer, parameters)),
    };
  });
}

function spread({ median, least, most }: Times): Spread {
  return { median, least, most };
}

function text({ model, parameters, data, batch, machine: on, runtime, rounds, ...measured }: Report): string {
  const { loading, evaluation, optimizers, peakMemory } = measured;
  const row = (name: string, { median, least, most }: Spread, ...more: readonly string[]) => [
    name,
    ...[median, least, most].map(shortNumber),
    ...more,
  ];
  const rows = [
    row('data', loading, '', ''),
    row('evaluation', evaluation, shortNumber((1000 * batch) / evaluation.median), ''),
    ...optimizers.flatMap(({ name, start, step, examplesPerSecond, update: alone }) => [
      row(`step, ${name}`, step, shortNumber(examplesPerSecond), shortNumber(start / 1000)),
      ...(alone === undefined ? [] : [row(`  its update`, alone, '', '')]),
    ]),
  ];
  const moved = optimizers.flatMap(({ name, update: alone }) =>
    alone === undefined
      ? []
      : [
          `the update of ${name} is ${shortNumber(100 * alone.share)} % of its step, and moves ` +
            `${shortNumber(alone.bytes / alone.median / 1e6)} GB/s, ${shortNumber(alone.ofMemorySpeed)} of a triad's`,
        ],
  );
  const lines = [
    `${basename(model)}: ${parameters.toLocaleString('en')} elements, batches of ${batch} of ${data}`,
    `${on.processor}, ${on.cores} cores, ${on.memory}, Node ${on.node}; ${runtime.provider} through ` +
      `${runtime.name === 'native' ? "ONNX Runtime's C API" : 'onnxruntime-node'}${runtime.version === undefined ? '' : ` ${runtime.version}`}`,
    '',
    ...formatTable(['', 'ms', 'least', 'most', 'examples/s', 'start, s'], rows, 1),
    '',
    ...moved,
    `${(peakMemory / 2 ** 20).toFixed(0)} MiB of memory at most; medians of ${rounds} rounds, in turn`,
  ];
  return `${lines.join('\n')}\n`;
}
