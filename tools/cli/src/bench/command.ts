import { basename } from 'node:path';
import { elementCount, wasmDevice, type Optimizer, type ParameterSpec } from '@adakit/core';
import { matchInputs, type Batch } from '@adakit/data';
import { shortNumber } from '@adakit/fit';
import { loadOptimizer } from '@adakit/plugins';
import type { RuntimeReport } from '@adakit/runner-onnx';
import type { Command } from 'commander';
import { machine, type Machine } from '../machine.js';
import { whole } from '../option-values.js';
import { print } from '../printable.js';
import { Progress } from '../progress.js';
import * as factories from '../rules.js';
import { formatTable } from '../table.js';
import { dataHelp } from '../train/data-spec.js';
import { prepare, startSession, withGradients, type Prepared, type Started } from '../train/prepare.js';
import { addTrainingOptions, dataOption, list, type TrainingOptions } from '../train/training-options.js';
import { UsageError } from '../usage-error.js';
import { compare, ratioOf, timed, type Contender, type Times } from './compare.js';
import { bytesMoved, precisely, triad, update } from './update.js';

interface Options extends TrainingOptions {
  readonly optimizers: readonly string[];
  readonly rounds: number;
  readonly json?: true;
}

/** Milliseconds after which the threads of ONNX Runtime have stopped looking for more work. */
const REST = 50;

/** Calls ahead of the one that counts, which wake threads and fill caches as a loop of steps would. */
const RUN_UP = 2;

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
    .action((path: string, options: Options) => bench(path, options));
}

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

async function bench(path: string, options: Options): Promise<void> {
  const rules = await Promise.all(options.optimizers.map((name) => ruleNamed(name, options)));
  const prepared = await prepare(path, { ...options, val: 'none' });
  const progress = new Progress();
  const subjects: Subject[] = [];
  try {
    for (const [i, rule] of rules.entries()) {
      progress.update(`starting session ${i + 1} of ${rules.length}`);
      subjects.push(await startSubject(options.optimizers[i], rule, prepared, options));
    }
    const report = await measure(path, subjects, options, progress);
    progress.clear();
    print(options.json === true ? `${JSON.stringify(report, null, 2)}\n` : text(report));
  } finally {
    progress.clear();
    await Promise.all(subjects.map(({ session }) => session.dispose()));
  }
}

/** @throws PluginError, AdakitError; UsageError for a name that is given twice */
async function ruleNamed(name: string, { optimizers }: Options): Promise<Optimizer> {
  if (optimizers.indexOf(name) !== optimizers.lastIndexOf(name))
    throw new UsageError(`--optimizers names ${name} twice`);
  const { plugin } = await loadOptimizer(name, { included: factories });
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

async function startSubject(name: string, rule: Optimizer, prepared: Prepared, options: Options): Promise<Subject> {
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
  { accumulate = 1, clip, rounds, data }: Options,
  progress: Progress,
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
    progress.update(`round ${round} of ${of}`);
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
