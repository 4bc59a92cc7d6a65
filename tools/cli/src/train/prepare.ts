import { accumulate, camelCaseKeys, clipByGlobalNorm, suggestion, type Optimizer } from '@adakit/core';
import { augment, type Dataset, type Example } from '@adakit/data';
import { checkModel, type Loss, type Model, type TensorSpec } from '@adakit/onnx';
import { loadOptimizer, type LoadedOptimizer, type OptimizerPlugin } from '@adakit/plugins';
import { TrainingError, TrainingSession, type TrainingSessionOptions } from '@adakit/runner-onnx';
import { included } from '../included.js';
import { selectionOf } from '../selection.js';
import { openModel } from '../open-model.js';
import { UsageError } from '../usage-error.js';
import { bindFields } from './bind-fields.js';
import { lossOf } from './choices.js';
import { loadData, type DataContext } from './data-spec.js';
import { dataSeed, type LoopOptions, type OptimizerOptions, type TrainingOptions } from './training-options.js';
import { parseSetting, type Word } from './words.js';

/** What only training itself can be told of its data. */
type ValidationOptions = Pick<LoopOptions, 'val' | 'earlyStop' | 'metrics' | 'schedule' | 'carry'>;

/** A model and its data, before there is an optimizer. */
export interface Prepared {
  readonly model: Model;
  readonly inputs: readonly TensorSpec[];
  readonly loss: Loss;
  readonly training: Dataset<Example>;
  readonly validation?: Dataset<Example>;
  readonly classes?: readonly string[];
  readonly black?: readonly number[];
}

/** Reads the model and the data that the options name. @throws UsageError, OnnxError, DataError */
export async function prepare(path: string, options: TrainingOptions & ValidationOptions): Promise<Prepared> {
  const { loss, classifies } = lossOf(options.loss);
  const model = await openModel(path, options);
  const { inputs } = checkModel(model);
  requireCarried(model, inputs, options.carry);
  return { model, inputs, loss, ...(await prepareData(options, { inputs, classifies })) };
}

/** The optimizer that the options name, with its hyperparameters. @throws PluginError, AdakitError, UsageError */
export async function chosenOptimizer({
  optimizer,
  set,
}: OptimizerOptions): Promise<{ readonly loaded: LoadedOptimizer; readonly settings: Word['settings'] }> {
  const loaded = await loadOptimizer(optimizer, { included });
  return { loaded, settings: hyperparametersOf(loaded.plugin, set) };
}

/** Hyperparameters as `--set` gives them, also under the names of PyTorch. @throws AdakitError, UsageError */
export function hyperparametersOf(
  { optimizerName }: Pick<OptimizerPlugin, 'optimizerName'>,
  set: readonly string[],
): Word['settings'] {
  return camelCaseKeys(optimizerName, Object.fromEntries(set.map((text) => parseSetting('--set', text))));
}

/** A rule inside accumulation inside clipping, as the options want it. */
export function withGradients(
  rule: Optimizer,
  { accumulate: every, clip }: Pick<TrainingOptions, 'accumulate' | 'clip'>,
): Optimizer {
  const collected = every === undefined ? rule : accumulate(every, rule);
  return clip === undefined ? collected : clipByGlobalNorm(clip, collected);
}

/** What the command calls what a session advises, by how its message begins. */
const ADVICE = [
  ['stepsPerRun', '--steps-per-run 1'],
  ['a seed', '--seed none'],
] as const;

/** A session, and the data under the names that it has for them. */
export interface Started {
  readonly session: TrainingSession;
  /** Augmented, shuffled unless a state is carried, in batches, of which the next is prepared while a step computes. */
  readonly batches: ReturnType<Dataset<Example>['batch']>;
  readonly validation?: Dataset<Example>;
}

/** Starts the runtime. @throws UsageError, TrainingError, OnnxError; nothing is left running then */
export async function startSession(
  { model, inputs, loss, training, validation, classes, black }: Prepared,
  optimizer: Optimizer,
  options: TrainingOptions & Pick<LoopOptions, 'carry'>,
  more: Pick<TrainingSessionOptions, 'nonFinite' | 'precision' | 'memoryLimit' | 'stepsPerRun'> = {},
): Promise<Started> {
  const { seed, backend, batch, data, field, threads, augment: changes, carry } = options;
  const session = await TrainingSession.create({
    model,
    loss,
    optimizer,
    executionProviders: backend,
    ...(seed !== 'none' && { seed }),
    ...(threads !== undefined && { session: { intraOpNumThreads: threads } }),
    ...(carry && { outputs: Object.values(carry) }),
    ...selectionOf(options),
    ...more,
  }).catch((error: unknown) => {
    if (!(error instanceof TrainingError) || error.code !== 'invalid-option') throw error;
    const [, option] = ADVICE.find(([begins]) => error.message.startsWith(begins)) ?? [];
    throw new UsageError(error.message + (option === undefined ? '' : `: ${option}`), { cause: error });
  });
  try {
    const names = inputs.map(({ name }) => name);
    const targets = session.inputs.map(({ name }) => name).filter((name) => !names.includes(name));
    requireClasses(session, classes, data);
    const wanted = { inputs: names.filter((name) => carry === undefined || !Object.hasOwn(carry, name)), targets };
    const bound = await bindFields(training, wanted, field);
    const validated = validation && (await bindFields(validation, wanted, field));
    const changed =
      changes === undefined
        ? bound
        : augment(bound, {
            ...changes,
            field: pictureInput(inputs),
            seed: dataSeed(seed),
            ...(black && { fill: black }),
          });
    return {
      session,
      batches: (carry === undefined ? changed.shuffle(dataSeed(seed)) : changed).batch(batch).prefetch(1),
      ...(validated && { validation: validated }),
    };
  } catch (error) {
    await session.dispose();
    throw error;
  }
}

/** Data to train on and to validate with, by the options. @throws UsageError */
async function prepareData(
  {
    data: spec,
    val,
    target,
    features,
    sequence,
    vocabulary,
    take,
    seed,
    earlyStop,
    metrics,
    schedule,
    batch,
    carry,
    field,
  }: TrainingOptions & ValidationOptions,
  about: Pick<DataContext, 'inputs' | 'classifies'>,
): Promise<Omit<Prepared, 'model' | 'inputs' | 'loss'>> {
  const context: DataContext = {
    ...about,
    field,
    folder: process.cwd(),
    ...(target !== undefined && { target }),
    ...(features !== undefined && { features }),
    ...(sequence !== undefined && { sequence }),
    ...(vocabulary !== undefined && { vocabulary }),
    ...(carry && { streams: batch }),
  };
  requireMeant(spec, { target, features, sequence, vocabulary });
  const { data: all, validation: own, classes, black } = await loadData(spec, context);
  const data = take === undefined ? all : all.take(take);
  const found = { ...(classes && { classes }), ...(black && { black }) };
  const share = val === undefined ? NaN : Number(val);
  if (!Number.isNaN(share)) {
    if (!(share > 0 && share < 1))
      throw new UsageError(`--val ${String(val)}: a share is between 0 and 1, such as 0.1`);
    if (carry !== undefined)
      throw new UsageError(
        `--val ${String(val)}: with --carry the data are read in order, and no share is drawn from them; name other data, ` +
          'as --val text:valid.txt',
      );
    const [training, validation] = data.split([1 - share, share], { seed: dataSeed(seed) });
    if (validation.length === 0)
      throw new UsageError(`--val ${String(val)}: of ${String(data.length)} examples none is left to validate with`);
    return { training, validation, ...found };
  }
  if (val !== undefined && val !== 'none') {
    const { data: validation } = await loadData(val, { ...context, ...(classes && { classes }) });
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

/** What data must be for an option to mean something, and whether they are. */
const meanings: Readonly<
  Record<'target' | 'features' | 'sequence' | 'vocabulary', { readonly of: string; readonly is: RegExp }>
> = {
  target: { of: 'names a column of a table', is: /\.(csv|tsv|jsonl|ndjson|parquet)$/i },
  features: { of: 'names columns of a table', is: /\.(csv|tsv|jsonl|ndjson|parquet)$/i },
  sequence: { of: 'is for a text', is: /^(text|words|ptb):/ },
  vocabulary: { of: 'is for a text by words', is: /^words:/ },
};

/** @throws UsageError for an option that would be passed over */
function requireMeant(data: string, given: Readonly<Record<keyof typeof meanings, unknown>>): void {
  for (const [name, { of, is }] of Object.entries(meanings)) {
    if (given[name as keyof typeof meanings] !== undefined && !is.test(data))
      throw new UsageError(`--${name} ${of}, and ${data} is none`);
  }
  if (given.features !== undefined && given.target === undefined)
    throw new UsageError('--features names what is learnt from; say what is learnt with --target COLUMN');
}

/** The one input that takes pictures. @throws UsageError */
function pictureInput(inputs: readonly TensorSpec[]): string {
  const pictures = inputs.filter(({ shape }) => shape.length === 4);
  if (pictures.length === 1) return pictures[0].name;
  const shapes = inputs.map(({ name, shape }) => `${name} [${shape.join(', ')}]`).join(', ');
  throw new UsageError(
    `--augment is for pictures, and the model has ${pictures.length === 0 ? 'no input' : 'several inputs'} ` +
      `[batch, channels, height, width] (it takes: ${shapes})`,
  );
}

/** @throws UsageError for what the model has no input or output of the name of */
function requireCarried(
  { graph }: Model,
  inputs: readonly TensorSpec[],
  carry: Readonly<Record<string, string>> = {},
): void {
  const known = { input: inputs.map(({ name }) => name), output: graph.output.map(({ name }) => name) };
  for (const [input, output] of Object.entries(carry)) {
    for (const [kind, name] of [
      ['input', input],
      ['output', output],
    ] as const) {
      if (known[kind].includes(name)) continue;
      throw new UsageError(
        `--carry ${input}=${output}: the model has no ${kind} '${name}'${suggestion(name, known[kind])} ` +
          `(there are: ${known[kind].join(', ')})`,
      );
    }
  }
}

/** @throws UsageError where the data have more classes than the model tells apart */
function requireClasses({ inputs }: TrainingSession, classes: readonly string[] | undefined, spec: string): void {
  const most = inputs.flatMap((input) => ('classes' in input ? input.classes : [])).at(0);
  if (classes === undefined || most === undefined || classes.length <= most) return;
  const shown = classes
    .slice(0, 12)
    .map((name) => JSON.stringify(name))
    .join(', ');
  throw new UsageError(
    `${spec} has ${classes.length} classes (${shown}${classes.length > 12 ? ', …' : ''}), and the model tells ${most} apart; ` +
      (spec.startsWith('words:') ? `--vocabulary ${most} keeps as many words` : 'it needs a larger last layer'),
  );
}
