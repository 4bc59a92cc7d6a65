import { closestName, type JsonObject, type TrainingState } from '@adakit/core';
import { matchInputs, sampleCount, type Batch, type Dataset, type Position, type Reader } from '@adakit/data';
import { FitError } from '../error.js';
import { type Metric } from '../metrics/metric.js';
import type { Trainable, TrainableReport } from '../trainable.js';
import { Breather } from './breather.js';
import type { Callback, Control, EndReason, EpochEvent, FitResult, StepEvent } from './callback.js';
import { Carried, type Carry } from './carried.js';
import { allMetrics, evaluate, type MetricValues } from './evaluate.js';
import { LossCurve } from './loss-curve.js';

/** Where checkpoints go; `Checkpoints` of `@adakit/state/node` is one. */
export interface CheckpointStore {
  save(state: TrainingState, options: { readonly metric?: number }): Promise<unknown>;
  latest(): Promise<{ readonly state: TrainingState } | undefined>;
  best(): Promise<{ readonly state: TrainingState } | undefined>;
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
  /** Ends training when so many validations in a row have not been better than the best by more than `least` (0). */
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
  /** Ends training after the step under way; what there is is saved. */
  readonly signal?: AbortSignal;
}

const optionNames = [
  'epochs',
  'steps',
  'validation',
  'validateEvery',
  'metrics',
  'monitor',
  'earlyStop',
  'restoreBest',
  'carry',
  'checkpoints',
  'callbacks',
  'signal',
] as const satisfies readonly (keyof FitOptions)[];

/**
 * Trains: steps on batch after batch, epoch after epoch, with validation, logs and checkpoints.
 *
 * @example
 * ```ts
 * const result = await fit(session, train.shuffle(1).batch(32), {
 *   epochs: 3,
 *   validation: test.batch(500),
 *   metrics: [accuracy()],
 *   earlyStop: { patience: 2 },
 * });
 * ```
 * @param model a `TrainingSession`, or anything that is {@link Trainable}
 * @throws FitError `invalid-argument`, `invalid-metric`; `callback-failed` with the callback's error as its cause;
 * `state-mismatch` for a checkpoint that was not saved by `fit`; what a step, the data or the store throw. The state is whole
 * in each case, and saved where there is a store
 */
export async function fit(model: Trainable, data: Dataset<Batch>, options: FitOptions = {}): Promise<FitResult> {
  return new Loop(model, data, options).run();
}

/** A batch as the data have it. */
interface Taken {
  readonly raw: Batch;
  /** Right behind it. */
  readonly place: Position;
}

/** One that ended because a callback threw. */
class CallbackFailure extends Error {}

class Loop {
  readonly #model: Trainable;
  readonly #options: FitOptions;
  readonly #epochs: number;
  readonly #steps: number;
  readonly #monitored: { readonly name: string; readonly better: 'lower' | 'higher' };
  readonly #batches: number | undefined;
  readonly #reader: Reader<Batch>;
  readonly #match: (batch: Batch) => Batch;
  readonly #carried: Carried;
  readonly #callbacks: readonly Callback[];
  readonly #control: Control;

  /** Batches that the model takes at a time, where there are so many. */
  readonly #perRun: number;
  /** Behind the last batch trained on. The reader may be ahead: of batches whose steps are under way or have failed. */
  #place: Position;
  /** Whether the reader has ended the pass that the last batches are of. */
  #passed = false;

  #step: number;
  #sum = 0;
  #samples = 0;
  #best: FitResult['best'];
  /** Validations since the best. */
  #bad = 0;
  #history: EpochEvent[] = [];
  #curve = new LossCurve();
  /** The state of the best validation, where there is no store. */
  #bestState: TrainingState | undefined;
  #stopped: { readonly reason: EndReason; readonly detail?: string } | undefined;
  /** Step and epoch of the last checkpoint. */
  #saved: string | undefined;
  #resumed: { readonly step: number; readonly epochs: number } | undefined;

  constructor(model: Trainable, data: Dataset<Batch>, options: FitOptions) {
    this.#model = model;
    this.#options = options;
    this.#monitored = checkOptions(model, data, options);
    const { steps, epochs } = options;
    this.#steps = steps ?? Infinity;
    this.#epochs = epochs ?? (steps === undefined ? 1 : Infinity);
    this.#batches = data.length;
    this.#reader = data.reader();
    this.#place = this.#reader.position();
    this.#match = model.inputs === undefined ? (batch) => batch : matchInputs(model.inputs);
    this.#carried = new Carried(options.carry ?? {}, model.inputs);
    this.#callbacks = options.callbacks ?? [];
    // What is carried from one batch to the next has to come out in between.
    this.#perRun = options.carry === undefined && model.steps !== undefined ? (model.stepsPerRun ?? 1) : 1;
    this.#step = model.stepCount ?? 0;
    this.#control = {
      stop: (detail) => {
        this.#stopped ??= { reason: 'callback', ...(detail !== undefined && { detail }) };
      },
    };
  }

  async run(): Promise<FitResult> {
    await this.#resume();
    let result: FitResult | undefined;
    try {
      await this.#train();
      await this.#save();
      await this.#restoreBest();
      result = this.#result();
    } catch (error) {
      await this.#rescue(error);
      throw error instanceof CallbackFailure ? callbackFailed(error, this.#step) : error;
    } finally {
      await this.#reader.close();
      await this.#end(result);
    }
    return result;
  }

  async #train(): Promise<void> {
    const { epochs, steps } = this.#options;
    await this.#call('onStart', {
      ...(epochs !== undefined || steps === undefined ? { epochs: this.#epochs } : {}),
      ...(steps !== undefined && { steps }),
      ...(this.#batches !== undefined && { batches: this.#batches }),
      ...(this.#resumed && { resumed: this.#resumed }),
    });
    const { signal } = this.#options;
    const breather = new Breather();
    for (;;) {
      if (signal?.aborted === true) this.#stopped ??= { reason: 'aborted' };
      if (this.#stopped || this.#step >= this.#steps || this.#place.pass >= this.#epochs) return;
      const batches = await this.#nextBatches();
      if (batches.length === 0) {
        await this.#endEpoch();
        continue;
      }
      const together = batches.length > 1 && batches.length === this.#perRun;
      for (const run of together ? [batches] : batches.map((batch) => [batch])) {
        await this.#take(run);
        await breather.breathe();
        if (this.#isEnding()) break;
      }
    }
  }

  #isEnding(): boolean {
    return this.#stopped !== undefined || this.#options.signal?.aborted === true;
  }

  /** Has the model take the steps on some batches, and tells of them. */
  async #take(batches: readonly Taken[]): Promise<void> {
    const { validateEvery, checkpoints } = this.#options;
    const feeds = batches.map(({ raw }) => this.#carried.feed(this.#match(raw)));
    const before = this.#step;
    // What there is has to agree with the model before anybody is told of it.
    const events: StepEvent[] = [];
    const onStep = (report: TrainableReport): void => {
      events.push(this.#count(batches[events.length], report));
    };
    try {
      if (batches.length > 1) await this.#model.steps?.(feeds, { onStep });
      else onStep(await this.#model.step(feeds[0]));
    } catch (error) {
      // Steps that were taken before one failed are told of all the same; the failure is the error to report.
      await this.#tell(events).catch(() => undefined);
      throw error;
    }
    await this.#tell(events);
    if (this.#step === before) return;
    const [{ epoch }] = events;
    if (validateEvery !== undefined && this.#step % validateEvery === 0) await this.#validate(epoch);
    else if (checkpoints?.everySteps !== undefined && this.#step % checkpoints.everySteps === 0) await this.#save();
  }

  /** Takes note of the step on a batch. */
  #count({ raw, place }: Taken, { step, outcome, loss = NaN, outputs }: TrainableReport): StepEvent {
    const samples = sampleCount(raw);
    [this.#step, this.#place] = [step, place];
    if (outcome !== 'skipped') {
      this.#carried.take(outputs);
      this.#sum += loss * samples;
      this.#samples += samples;
      this.#curve.add(step, loss);
    }
    return { step, epoch: place.pass + 1, batch: place.taken, loss, samples, outcome };
  }

  async #tell(events: readonly StepEvent[]): Promise<void> {
    if (this.#callbacks.length > 0) for (const event of events) await this.#call('onStep', event);
  }

  /**
   * The batches of the next run of the model: as many as it takes at a time, fewer up to where the pass ends, something is due
   * or enough steps are made. None at the end of a pass.
   */
  async #nextBatches(): Promise<readonly Taken[]> {
    if (this.#passed) {
      this.#passed = false;
      this.#place = this.#reader.position();
      return [];
    }
    const { validateEvery, checkpoints } = this.#options;
    const due = [validateEvery, checkpoints?.everySteps].map((every) =>
      every === undefined ? Infinity : every - (this.#step % every),
    );
    const count = Math.min(this.#perRun, this.#steps - this.#step, ...due);
    const batches: Taken[] = [];
    while (batches.length < count) {
      const raw = await this.#reader.next();
      if (raw === undefined) {
        this.#passed = batches.length > 0;
        if (!this.#passed) this.#place = this.#reader.position();
        return batches;
      }
      batches.push({ raw, place: this.#reader.position() });
    }
    return batches;
  }

  async #endEpoch(): Promise<void> {
    const epoch = this.#reader.pass;
    this.#carried.reset();
    if (this.#samples === 0) {
      throw new FitError(
        'invalid-argument',
        'an epoch without one step: the data are empty, or every step was skipped',
      );
    }
    const { validation, validateEvery } = this.#options;
    const loss = this.#sum / this.#samples;
    [this.#sum, this.#samples] = [0, 0];
    const outcome = validation !== undefined && validateEvery === undefined ? await this.#measure(epoch) : undefined;
    const event = { epoch, step: this.#step, loss, ...(outcome && { validation: outcome.values }) };
    this.#history.push(event);
    await this.#call('onEpoch', event);
    await this.#save(outcome?.metric, outcome?.improved);
  }

  async #validate(epoch: number): Promise<void> {
    const { metric, improved } = await this.#measure(epoch);
    await this.#save(metric, improved);
  }

  /** Validates and draws the conclusions. */
  async #measure(epoch: number): Promise<{ values: MetricValues; metric: number; improved: boolean }> {
    const { validation, metrics = [], carry = {}, signal, earlyStop } = this.#options;
    if (validation === undefined) throw new FitError('invalid-argument', 'there are no validation data');
    const batches = validation.length;
    const values = await evaluate(this.#model, validation, {
      metrics,
      carry,
      onBatch: (batch) => this.#call('onValidationBatch', { batch, ...(batches !== undefined && { batches }) }),
    });
    const { name, better } = this.#monitored;
    const metric = values[name] as number;
    const sign = better === 'lower' ? 1 : -1;
    const least = earlyStop?.least ?? 0;
    // What is not a number is never better.
    const improved =
      this.#best === undefined ? Number.isFinite(metric) : sign * metric < sign * this.#best.value - least;
    if (improved) {
      this.#best = { value: metric, step: this.#step, epoch };
      this.#bad = 0;
    } else {
      this.#bad++;
    }
    this.#model.reportMetric?.(values.loss as number);
    if (signal?.aborted !== true) this.#stopEarly();
    await this.#call('onValidation', { step: this.#step, epoch, values, improved });
    return { values, metric, improved };
  }

  #stopEarly(): void {
    const { earlyStop } = this.#options;
    if (earlyStop === undefined || this.#bad < earlyStop.patience) return;
    const best = this.#best === undefined ? 'never a number' : `${this.#best.value} at step ${this.#best.step}`;
    this.#stopped ??= {
      reason: 'early-stop',
      detail: `no better ${this.#monitored.name} in ${this.#bad} validations (best: ${best})`,
    };
  }

  async #save(metric?: number, improved = false): Promise<void> {
    const { checkpoints, restoreBest } = this.#options;
    if (checkpoints === undefined) {
      if (improved && restoreBest === true) this.#bestState = await this.#model.state?.();
      return;
    }
    const moment = this.#moment();
    if (moment === this.#saved && metric === undefined) return;
    await this.#call('onSave', { step: this.#step });
    await this.#write(checkpoints.store, metric);
    this.#saved = moment;
  }

  /** What differs between two checkpoints. */
  #moment(): string {
    const { pass, taken } = this.#place;
    return `${this.#step} ${pass} ${taken}`;
  }

  async #write(store: CheckpointStore, metric?: number): Promise<void> {
    await store.save(await this.#state(), metric === undefined ? {} : { metric });
  }

  /** The model's state with the loop's own, to go on from. */
  async #state(): Promise<TrainingState> {
    const best = this.#best;
    const state = this.#carried.saved(await (this.#model as Required<Trainable>).state());
    const loop = {
      sum: this.#sum,
      samples: this.#samples,
      best: best === undefined ? null : { ...best },
      bad: this.#bad,
      history: this.#history as unknown as JsonObject[],
      curve: this.#curve.toJson(),
    };
    return { ...state, data: { ...state.data, position: this.#place, loop } };
  }

  async #resume(): Promise<void> {
    const { checkpoints } = this.#options;
    if (checkpoints?.resume !== true) return;
    const found = await checkpoints.store.latest();
    if (found === undefined) return;
    const { data, step } = found.state;
    const loop = data?.loop as JsonObject | undefined;
    if (data === undefined || loop === undefined) {
      throw new FitError(
        'state-mismatch',
        'the newest checkpoint was not saved by fit: it lacks the position in the data; load it into the model and start without resume',
      );
    }
    await this.#reader.resume(data.position);
    this.#place = this.#reader.position();
    await (this.#model as Required<Trainable>).load(found.state);
    this.#carried.load(found.state);
    this.#step = step;
    [this.#sum, this.#samples, this.#bad] = [Number(loop.sum), Number(loop.samples), Number(loop.bad)];
    this.#best = (loop.best as unknown as FitResult['best'] | null) ?? undefined;
    this.#history = [...(loop.history as unknown as EpochEvent[])];
    this.#curve = LossCurve.fromJson(loop.curve as JsonObject);
    this.#resumed = { step, epochs: this.#reader.pass };
    this.#saved = this.#moment();
    this.#stopEarly();
  }

  async #restoreBest(): Promise<void> {
    const { restoreBest, checkpoints } = this.#options;
    if (restoreBest !== true || this.#best === undefined) return;
    const state = checkpoints === undefined ? this.#bestState : (await checkpoints.store.best())?.state;
    if (state !== undefined) await (this.#model as Required<Trainable>).load(state);
  }

  /** Saves what there is after an error, which is the one to report. */
  async #rescue(error: unknown): Promise<void> {
    const { checkpoints } = this.#options;
    if (checkpoints === undefined || this.#saved === this.#moment()) return;
    try {
      // Without onSave: a log that has no space left must not keep the state from being saved.
      await this.#write(checkpoints.store);
    } catch (second) {
      if (error instanceof Error && !(error instanceof CallbackFailure) && error.cause === undefined)
        error.cause = second;
    }
  }

  #result(): FitResult {
    const { reason, detail } = this.#stopped ?? { reason: 'completed', detail: undefined };
    return {
      reason,
      ...(detail !== undefined && { detail }),
      step: this.#step,
      epochs: this.#place.pass,
      history: this.#history,
      ...(this.#best && { best: this.#best }),
      curve: this.#curve.points,
    };
  }

  async #call<E>(event: CallbackEvent<E>, argument: E): Promise<void> {
    for (const callback of this.#callbacks) {
      try {
        const done = (callback[event] as ((argument: E, control: Control) => unknown) | undefined)?.(
          argument,
          this.#control,
        );
        if (done instanceof Promise) await done;
      } catch (error) {
        throw new CallbackFailure(`${callback.name ?? 'a callback'}, ${event}`, { cause: error });
      }
    }
  }

  /** All of them, whatever becomes of the others: they close files. */
  async #end(result: FitResult | undefined): Promise<void> {
    const errors: unknown[] = [];
    for (const callback of this.#callbacks) {
      try {
        await callback.onEnd?.(result, this.#control);
      } catch (error) {
        errors.push(new CallbackFailure(`${callback.name ?? 'a callback'}, onEnd`, { cause: error }));
      }
    }
    // The error that ended training comes first.
    if (result !== undefined && errors.length > 0) throw callbackFailed(errors[0] as CallbackFailure, this.#step);
  }
}

type CallbackEvent<E> = {
  [K in keyof Callback]-?: Required<Callback>[K] extends (event: E, control: Control) => unknown ? K : never;
}[keyof Callback];

function callbackFailed(failure: CallbackFailure, step: number): FitError {
  const { cause } = failure;
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new FitError(
    'callback-failed',
    `${failure.message}, failed at step ${step}: ${reason}; the state of the training is whole`,
    { cause },
  );
}

/** @returns what is monitored */
function checkOptions(
  model: Trainable,
  data: Dataset<Batch>,
  options: FitOptions,
): { readonly name: string; readonly better: 'lower' | 'higher' } {
  const fail = (problem: string): never => {
    throw new FitError('invalid-argument', `fit: ${problem}`);
  };
  for (const name of Object.keys(options)) {
    if ((optionNames as readonly string[]).includes(name)) continue;
    const suggestion = closestName(name, optionNames);
    fail(
      `there is no option '${name}'${suggestion === undefined ? '' : `, did you mean '${suggestion}'?`} (there are: ${optionNames.join(', ')})`,
    );
  }
  const {
    epochs,
    steps,
    validation,
    validateEvery,
    metrics = [],
    monitor = 'loss',
    earlyStop,
    restoreBest,
    checkpoints,
  } = options;
  const counts = {
    epochs,
    steps,
    validateEvery,
    'earlyStop.patience': earlyStop?.patience,
    'checkpoints.everySteps': checkpoints?.everySteps,
  };
  for (const [name, value] of Object.entries(counts)) {
    if (value !== undefined && (!Number.isSafeInteger(value) || value < 1))
      fail(`${name} must be a whole number of at least 1, got ${value}`);
  }
  if (data.length === 0) fail(`there is not one batch in ${data.description}`);
  const needValidation = { validateEvery, earlyStop, restoreBest: restoreBest === true ? true : undefined };
  if (validation === undefined) {
    for (const [name, value] of Object.entries(needValidation))
      if (value !== undefined) fail(`${name} needs validation data; give validation`);
    if (metrics.length > 0) fail('metrics are of validation data; give validation');
  } else if (model.evaluate === undefined)
    fail('what is trained cannot be validated: it has no method evaluate(batch)');
  const stateful = model.state !== undefined && model.load !== undefined;
  if (!stateful && checkpoints !== undefined)
    fail('what is trained cannot be saved: it has no methods state() and load(state)');
  if (!stateful && restoreBest === true)
    fail('restoreBest needs the methods state() and load(state) of what is trained');
  const all = allMetrics(metrics);
  const found = all.find(({ name }) => name === monitor);
  const names = all.map(({ name }) => name);
  if (found === undefined) {
    const suggestion = closestName(monitor, names);
    return fail(
      `there is no metric '${monitor}' to monitor${suggestion === undefined ? '' : `, did you mean '${suggestion}'?`} (there are: ${names.join(', ')})`,
    );
  }
  if (found.better === undefined)
    return fail(`of the metric '${monitor}' nobody knows which value is better; monitor another`);
  return { name: monitor, better: found.better };
}
