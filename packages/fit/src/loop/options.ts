import { kinds, suggestion, type OptionKind, type TrainingState } from '@adakit/core';
import type { Batch, Dataset } from '@adakit/data';
import { FitError, requireOptions } from '../error.js';
import type { Metric } from '../metrics/metric.js';
import type { Trainable } from '../trainable.js';
import type { Callback } from './callback.js';
import { CARRY, type Carry } from './carried.js';
import { allMetrics } from './evaluate.js';
import { requireDataset, requireModel } from './given.js';

/** Where checkpoints go; `Checkpoints` of `@adakit/state/node` is one. */
export interface CheckpointStore {
  save(state: TrainingState, options: { readonly metric?: number }): Promise<unknown>;
  latest(): Promise<{ readonly state: TrainingState } | undefined>;
  best(): Promise<{ readonly state: TrainingState } | undefined>;
  /** Whether the checkpoint with the smallest or the largest metric is kept; undefined: none. A store need not say. */
  readonly keepsBest?: 'min' | 'max' | undefined;
}

/** When checkpoints are written, and which are kept. */
export interface CheckpointOptions {
  /** Open it with `best: 'min'` or `'max'` as what is monitored wants, where best weights are restored. */
  readonly store: CheckpointStore;
  /** Saves after so many steps, too. Default: after every epoch, every validation and at the end alone. */
  readonly everySteps?: number;
  /** Goes on from the newest checkpoint, or starts if there is none. Default: false. */
  readonly resume?: boolean;
}

/** How long to train, and what to do beside. */
export interface FitOptions {
  /** Passes over the data, those before a resumption included. Default: 1, or no limit where `steps` is given. */
  readonly epochs?: number;
  /** Steps in all. Default: no limit. */
  readonly steps?: number;
  /** Data to see by how training goes; after every epoch unless `validateEvery` says otherwise. */
  readonly validation?: Dataset<Batch>;
  /** Validates after so many steps instead of after every epoch. */
  readonly validateEvery?: number;
  /** Of the validation data. Default: the loss alone, which is always there. */
  readonly metrics?: readonly Metric[];
  /** Name of the metric that says which validation is best. Default: `loss`. */
  readonly monitor?: string;
  /** Name of the metric that schedules on plateaus are told of after every validation. Default: `loss`. */
  readonly plateau?: string;
  /**
   * Ends training when so many validations in a row have not been better by more than `least` (0) than the last that was. The
   * best validation is the best all the same, by however little.
   */
  readonly earlyStop?: { readonly patience: number; readonly least?: number };
  /** Ends with the weights of the best validation instead of the last ones. Default: false. */
  readonly restoreBest?: boolean;
  /**
   * Inputs that are fed with outputs of the batch before, `{ h0: 'hn' }`: zero at the beginning of every pass over the data,
   * those of the validation included, and not differentiated through. Batches have to be of one size and go on where the one
   * before ended: `nextTokens` of `@adakit/data` with `streams`, not shuffled. Default: none.
   */
  readonly carry?: Carry;
  readonly checkpoints?: CheckpointOptions;
  readonly callbacks?: readonly Callback[];
  /** Ends training after the step under way, and no later than data keep it waiting; what there is is saved. */
  readonly signal?: AbortSignal;
}

const METRIC_NAME = kinds.kind('the name of a metric', (name) => typeof name === 'string');

/** {@link FitOptions}, as they may be; data, metrics and the store are looked at apart. */
const OPTIONS: Readonly<Record<keyof FitOptions, OptionKind>> = {
  epochs: kinds.count(1),
  steps: kinds.count(1),
  validation: kinds.anything,
  validateEvery: kinds.count(1),
  metrics: kinds.list,
  monitor: METRIC_NAME,
  plateau: METRIC_NAME,
  earlyStop: kinds.options({ patience: kinds.required(kinds.count(1)), least: kinds.within({ atLeast: 0 }) }),
  restoreBest: kinds.flag,
  carry: CARRY,
  checkpoints: kinds.options({ store: kinds.anything, everySteps: kinds.count(1), resume: kinds.flag } satisfies Record<
    keyof CheckpointOptions,
    OptionKind
  >),
  callbacks: kinds.kind(
    'a list of callbacks',
    (list) => Array.isArray(list) && list.every((callback) => Object(callback) === callback),
  ),
  signal: kinds.signal,
};

/** The metric that says which validation is best. */
export interface Monitored {
  readonly name: string;
  readonly better: 'lower' | 'higher';
}

/** @throws FitError `invalid-argument`, `invalid-metric` */
export function checkOptions(model: Trainable, data: Dataset<Batch>, options: FitOptions): Monitored {
  const fail = (problem: string): never => {
    throw new FitError('invalid-argument', `fit: ${problem}`);
  };
  requireOptions('fit', options, OPTIONS);
  const {
    validation,
    validateEvery,
    metrics = [],
    monitor = 'loss',
    plateau,
    earlyStop,
    restoreBest,
    checkpoints,
  } = options;
  requireModel('fit', model, 'step');
  requireDataset('fit', data);
  if (validation !== undefined) requireDataset('fit: validation', validation);
  if (data.length === 0) fail(`there is not one batch in ${data.description}`);
  const needValidation = {
    validateEvery,
    earlyStop,
    plateau,
    restoreBest: restoreBest === true ? true : undefined,
  };
  if (validation === undefined) {
    for (const [name, value] of Object.entries(needValidation))
      if (value !== undefined) fail(`${name} needs validation data; give validation`);
    if (metrics.length > 0) fail('metrics are of validation data; give validation');
  } else if (model.evaluate === undefined)
    fail('what is trained cannot be validated: it has no method evaluate(batch)');
  const stateful = model.state !== undefined && model.load !== undefined;
  if (!stateful && checkpoints !== undefined)
    fail('what is trained cannot be saved: it has no methods state() and load(state)');
  if (
    checkpoints !== undefined &&
    typeof (checkpoints.store as Partial<CheckpointStore> | undefined)?.save !== 'function'
  )
    fail('checkpoints has a store, such as { store: await Checkpoints.open(folder) }');
  if (!stateful && restoreBest === true)
    fail('restoreBest needs the methods state() and load(state) of what is trained');
  const all = allMetrics(metrics);
  const metricNamed = (name: string, purpose: string): Monitored => {
    const found = all.find((metric) => metric.name === name);
    const names = all.map((metric) => metric.name);
    if (found === undefined) {
      return fail(`there is no metric '${name}' ${purpose}${suggestion(name, names)} (there are: ${names.join(', ')})`);
    }
    if (found.better === undefined)
      return fail(`of the metric '${name}' nobody knows which value is better; take another ${purpose}`);
    return { name, better: found.better };
  };
  if (plateau !== undefined) metricNamed(plateau, 'for schedules on plateaus');
  const monitored = metricNamed(monitor, 'to monitor');
  const wanted = monitored.better === 'lower' ? 'min' : 'max';
  // Not after a week of training, when it is gone.
  if (restoreBest === true && checkpoints !== undefined && 'keepsBest' in checkpoints.store) {
    const { keepsBest } = checkpoints.store;
    if (keepsBest !== wanted)
      fail(
        `restoreBest needs a store that keeps the best ${monitor}, and this one keeps ` +
          `${keepsBest === undefined ? 'none' : `the ${keepsBest === 'min' ? 'smallest' : 'largest'}`}: ` +
          `Checkpoints.open(directory, { best: '${wanted}' })`,
      );
  }
  return monitored;
}
