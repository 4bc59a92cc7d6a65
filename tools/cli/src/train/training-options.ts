import type { AugmentOptions } from '@adakit/data';
import { InvalidArgumentError, type Command } from 'commander';
import { lossNames, metricNames, scheduleNames } from '../known-names.js';
import { positive, repeated, whole } from '../option-values.js';
import { addSelectionOptions, type SelectionOptions } from '../selection.js';
import { addSpecializeOptions, type SpecializeOptions } from '../specialize-options.js';

/** What every command that takes training steps has to be told. */
export interface TrainingOptions extends SpecializeOptions, SelectionOptions {
  readonly data: string;
  readonly target?: string;
  readonly features?: readonly string[];
  readonly field: Readonly<Record<string, string>>;
  readonly sequence?: number;
  readonly vocabulary?: number;
  readonly take?: number;
  readonly augment?: Augmentation;
  readonly loss: string;
  readonly clip?: number;
  readonly accumulate?: number;
  readonly batch: number;
  readonly seed: Seed;
  readonly backend: readonly string[];
  readonly threads?: number;
}

/** How training pictures are changed. */
export type Augmentation = Pick<AugmentOptions, 'crop' | 'flip'>;

/** Of all that is random; `none` where a model draws what no seed can decide on. */
export type Seed = number | 'none';

/** Adds the options of {@link TrainingOptions} but `--data`. */
export function addTrainingOptions(command: Command): Command {
  return addSelectionOptions(addSpecializeOptions(command))
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
    .option('--sequence <n>', 'of a text: tokens at a time, where the model leaves it open (64)', whole(1))
    .option('--vocabulary <n>', 'of a text by words: how many are known, the most frequent (10000)', whole(2))
    .option('--take <n>', 'use the first n examples alone', whole(1))
    .option(
      '--augment <how>',
      'change training pictures at random: crop:N out of a border of N pixels, flip from left to right; crop:4,flip is both',
      augmentation,
    )
    .option(...lossOption)
    .option('--clip <norm>', 'clip gradients to this norm over all parameters', positive)
    .option('--accumulate <n>', 'collect the gradients of so many batches for a step', whole(1))
    .option('--batch <n>', 'examples in a batch', whole(1), 32)
    .option(
      '--seed <n>',
      'of all that is random: the order of the data, dropout, noise; none leaves dropout and noise to the runtime',
      seed,
      0,
    )
    .option('--backend <names>', 'execution providers of ONNX Runtime, tried in order: cpu, cuda, webgpu, …', list, [
      'cpu',
    ])
    .option(
      '--threads <n>',
      'threads of ONNX Runtime for a step; by default as many as the processor has cores',
      // It makes all that it is told to make, and a machine hangs with a hundred thousand.
      whole(1, 1024),
    );
}

/** How `--loss` is declared. */
export const lossOption = [
  '--loss <name>',
  `${lossNames.join(', ')}; settings as cross-entropy:labelSmoothing=0.1,classAxis=2`,
  'cross-entropy',
] as const;

/** How `--data` is declared. */
export const dataOption = ['--data <spec>', 'data to train on: mnist, FILE.csv, …; see below'] as const;

/** How long training goes on and what is done beside. */
export interface LoopOptions {
  readonly val?: string;
  readonly schedule?: string;
  readonly warmup?: number;
  readonly ema?: number;
  readonly carry?: Readonly<Record<string, string>>;
  readonly epochs?: number;
  readonly steps?: number;
  readonly metrics?: string;
  readonly monitor?: string;
  readonly earlyStop?: number;
  readonly every?: number;
}

/** Adds the options of {@link LoopOptions}. */
export function addLoopOptions(command: Command): Command {
  return command
    .option(
      '--val <spec>',
      'data to validate with, a share of the training data such as 0.1, or none; by default those that come with the data',
    )
    .option('--schedule <name>', `of the learning rate: ${scheduleNames.join(', ')}; settings as cosine:floor=0.1`)
    .option('--warmup <steps>', 'let the learning rate rise first', whole(1))
    .option('--ema <decay>', 'average the weights over steps; what is validated and written is the average', positive)
    .option(
      '--carry <input=output>',
      'feed an input with an output of the batch before, as h0=hn of an LSTM: texts are read in as many parts as a batch has ' +
        'examples, in order; several are separated by commas',
      carried,
    )
    .option('--epochs <n>', 'passes over the data (1, unless --steps is given)', whole(1))
    .option('--steps <n>', 'steps in all', whole(1))
    .option('--metrics <names>', `of the validation, separated by commas: ${metricNames.join(', ')}, top<k>`)
    .option('--monitor <name>', 'the metric that says which validation is best (loss)')
    .option('--early-stop <n>', 'end when n validations in a row were not better, with the best weights', whole(1))
    .option('--every <steps>', 'save after so many steps, beside every epoch', whole(1));
}

/** Adds `--optimizer` and `--set`, for commands that train with one optimizer. */
export function addOptimizerOptions(command: Command): Command {
  return command
    .option(
      '--optimizer <name>',
      'one that comes with the command, a package, or the path of a module or a package; see adakit optimizers',
      'adam',
    )
    .option('--set <name=value>', 'hyperparameter of the optimizer; may be repeated', repeated, []);
}

/** What `--optimizer` and `--set` say. */
export interface OptimizerOptions {
  readonly optimizer: string;
  readonly set: readonly string[];
}

/** Values separated by commas. @throws InvalidArgumentError for one that is empty */
export function list(text: string): string[] {
  const values = text.split(',').map((each) => each.trim());
  if (values.includes('')) throw new InvalidArgumentError('a value between commas is empty.');
  return values;
}

function augmentation(text: string): Augmentation {
  const entries = list(text).map((word): [string, number | boolean] => {
    const border = /^crop:([1-9]\d*)$/.exec(word)?.[1];
    if (border !== undefined) return ['crop', Number(border)];
    if (word === 'flip') return ['flip', true];
    throw new InvalidArgumentError(`there is no '${word}'; it takes crop:N, where N are pixels, and flip.`);
  });
  return Object.fromEntries(entries);
}

/** Outputs by the inputs that they are fed to. */
function carried(text: string): Readonly<Record<string, string>> {
  const pairs = list(text).map((pair) => pair.split('='));
  if (pairs.every((pair) => pair.length === 2 && !pair.includes('')))
    return Object.fromEntries(pairs) as Record<string, string>;
  throw new InvalidArgumentError('input=output is needed, several separated by commas.');
}

function seed(text: string): Seed {
  if (text === 'none') return text;
  const value = Number(text);
  if (/^\d+$/.test(text) && value < 2 ** 32) return value;
  throw new InvalidArgumentError('a whole number below 2^32, or none, is needed.');
}

/** The seed of the order of the data, which always has one. */
export const dataSeed = (seed: Seed): number => (seed === 'none' ? 0 : seed);

function field(text: string, before: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const at = text.lastIndexOf('=');
  if (at < 1 || at === text.length - 1) throw new InvalidArgumentError('name=field is needed.');
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) };
}
