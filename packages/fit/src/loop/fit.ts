import { kindOf, type TrainingState } from '@adakit/core';
import { matchInputs, sampleCount, type Batch, type Dataset } from '@adakit/data';
import { FitError } from '../error.js';
import type { Trainable, TrainableReport } from '../trainable.js';
import { BatchRuns, type Taken } from './batch-runs.js';
import { Breather } from './breather.js';
import type { EndReason, FitResult, Resumed, RunStart, StepEvent, ValidationEvent } from './callback.js';
import { CallbackFailure, Callbacks, type Told } from './callbacks.js';
import { Carried } from './carried.js';
import { evaluate, type MetricValues } from './evaluate.js';
import { Interruption } from './interruption.js';
import { checkOptions, type CheckpointStore, type FitOptions, type Monitored } from './options.js';
import { TrainingRecord } from './record.js';

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
 * `state-mismatch` for a checkpoint that was not saved by `fit`; `best-missing` where the best weights are to be restored and
 * their checkpoint is gone; what a step, the data or the store throw. The state is whole
 * in each case, and saved where there is a store
 */
export async function fit(model: Trainable, data: Dataset<Batch>, options: FitOptions = {}): Promise<FitResult> {
  return new Loop(model, data, options).run();
}

/** What is done, and when. */
class Loop {
  readonly #model: Trainable;
  readonly #options: FitOptions;
  readonly #epochs: number;
  readonly #steps: number;
  readonly #monitored: Monitored;
  /** Batches of an epoch, where that is known. */
  readonly #batches: number | undefined;
  readonly #data: BatchRuns;
  readonly #match: (batch: Batch) => Batch;
  readonly #carried: Carried;
  readonly #callbacks: Callbacks;
  readonly #record: TrainingRecord;
  readonly #interruption: Interruption;

  #step: number;
  #stopped: { readonly reason: EndReason; readonly detail?: string } | undefined;
  /** The state of the best validation, where there is no store. */
  #bestState: TrainingState | undefined;
  /** When the last checkpoint was written. */
  #saved: string | undefined;
  /** What the validation at this moment came to, for its checkpoint. */
  #metric: number | undefined;
  #resumed: RunStart['resumed'];

  constructor(model: Trainable, data: Dataset<Batch>, options: FitOptions) {
    this.#model = model;
    this.#options = options;
    this.#monitored = checkOptions(model, data, options);
    const { steps, epochs, carry, callbacks = [], signal } = options;
    this.#steps = steps ?? Infinity;
    this.#epochs = epochs ?? (steps === undefined ? 1 : Infinity);
    this.#batches = data.length;
    // What is carried from one batch to the next has to come out in between.
    const perRun = carry === undefined && model.steps !== undefined ? (model.stepsPerRun ?? 1) : 1;
    this.#data = new BatchRuns(data, perRun);
    this.#match = model.inputs === undefined ? (batch) => batch : matchInputs(model.inputs);
    this.#carried = new Carried(carry ?? {}, model.inputs);
    this.#callbacks = new Callbacks(callbacks, {
      stop: (detail) => {
        this.#stopped ??= { reason: 'callback', ...(detail !== undefined && { detail }) };
      },
    });
    this.#step = model.stepCount ?? 0;
    this.#record = new TrainingRecord(this.#monitored, options, this.#step);
    this.#interruption = new Interruption(signal);
    // Before the first batch there is nothing to go on from, and some models do not know their parameters.
    if (this.#step === 0) this.#saved = this.#moment();
  }

  async run(): Promise<FitResult> {
    try {
      await this.#resume();
      return await this.#complete();
    } finally {
      this.#interruption.close();
      await this.#data.close();
    }
  }

  async #complete(): Promise<FitResult> {
    let result: FitResult | undefined;
    try {
      await this.#train();
      await this.#save();
      await this.#restoreBest();
      result = this.#result();
    } catch (error) {
      await this.#rescue(error);
      throw error instanceof CallbackFailure ? error.at(this.#step) : error;
    } finally {
      await this.#end(result);
    }
    return result;
  }

  async #end(result: FitResult | undefined): Promise<void> {
    const failure = await this.#callbacks.end(result);
    // The error that ended training comes first.
    if (result !== undefined && failure !== undefined) throw failure.at(this.#step);
  }

  async #train(): Promise<void> {
    const { signal, checkpoints } = this.#options;
    await this.#callbacks.call('onStart', this.#start());
    const breather = new Breather();
    // Every step comes by here, some within microseconds: there is nothing to wait for but data, the model and what is due.
    for (;;) {
      if (signal?.aborted === true) this.#stopped = { reason: 'aborted' };
      // One that is due is made all the same where something else ends training, and by whoever goes on where it was given up.
      else if (this.#validationIsDue) {
        await this.#validate();
        continue;
      }
      if (this.#stopped || this.#step >= this.#steps || this.#data.position.pass >= this.#epochs) return;
      const batches = await this.#unlessAborted(this.#interruption.wait(this.#data.next(this.#room())));
      if (batches === undefined) continue;
      if (batches.length === 0) {
        await this.#endEpoch();
        continue;
      }
      const feeds = batches.map(({ raw }) => this.#carried.feed(this.#match(raw)));
      const before = this.#step;
      // What there is has to agree with the model before anybody is told of it.
      const events: StepEvent[] = [];
      const onStep = (report: TrainableReport): void => {
        events.push(this.#count(batches[events.length], report));
      };
      try {
        if (feeds.length > 1) await this.#model.steps?.(feeds, { onStep });
        else onStep(await this.#model.step(feeds[0]));
      } catch (error) {
        // Steps that were taken before one failed are told of all the same; the failure is the error to report.
        await this.#tell(events).catch(() => undefined);
        throw error;
      }
      if (this.#callbacks.any) await this.#tell(events);
      if (this.#step !== before && !this.#validationIsDue && this.#isDue(checkpoints?.everySteps)) await this.#save();
      if (breather.isDue) await breather.breathe();
    }
  }

  #start(): RunStart {
    const { epochs, steps } = this.#options;
    return {
      ...(epochs !== undefined || steps === undefined ? { epochs: this.#epochs } : {}),
      ...(steps !== undefined && { steps }),
      ...(this.#batches !== undefined && { batches: this.#batches }),
      ...(this.#resumed && { resumed: this.#resumed }),
    };
  }

  /** Steps that may be taken before something is due or enough are made. */
  #room(): number {
    const { validateEvery = Infinity, checkpoints: { everySteps = Infinity } = {} } = this.#options;
    const [step, steps] = [this.#step, this.#steps];
    return Math.min(steps - step, validateEvery - (step % validateEvery), everySteps - (step % everySteps));
  }

  #isDue(every = Infinity): boolean {
    return this.#step % every === 0;
  }

  /** Whether steps say so, and it has not been made. */
  get #validationIsDue(): boolean {
    const { validateEvery } = this.#options;
    return validateEvery !== undefined && this.#isDue(validateEvery) && this.#step !== this.#record.lastValidation.step;
  }

  /** What a promise comes to; undefined where that is the reason of the signal. */
  async #unlessAborted<T>(promise: Promise<T>): Promise<T | undefined> {
    try {
      return await promise;
    } catch (error) {
      if (this.#interruption.isReason(error)) return undefined;
      throw error;
    }
  }

  async #tell(events: readonly StepEvent[]): Promise<void> {
    await this.#callbacks.tell(events.map((event) => ['onStep', event]));
  }

  /** Takes note of the step on a batch. */
  #count({ raw, place }: Taken, { step, outcome, loss = NaN, outputs }: TrainableReport): StepEvent {
    const samples = sampleCount(raw);
    this.#step = step;
    this.#data.done(place);
    if (outcome !== 'skipped') {
      this.#carried.take(outputs);
      this.#record.add(step, loss, samples);
    }
    return { step, epoch: place.pass + 1, batch: place.taken, loss, samples, outcome };
  }

  async #endEpoch(): Promise<void> {
    const { validation, validateEvery } = this.#options;
    const epoch = this.#data.position.pass + 1;
    const loss = this.#record.epochLoss;
    if (loss === undefined) {
      throw new FitError(
        'invalid-argument',
        'an epoch without one step: the data are empty, or every step was skipped',
      );
    }
    const { lr } = (await this.#model.hyperparameters?.()) ?? {};
    const validates = validation !== undefined && validateEvery === undefined;
    const values = validates ? await this.#evaluate() : undefined;
    if (validates && values === undefined) return;
    // It is over, all at once and before anybody is told: who goes on after a fault ends it again or not at all.
    const validated = values && this.#validated(values, epoch);
    const event = {
      epoch,
      step: this.#step,
      loss,
      ...(values && { validation: values }),
      ...(typeof lr === 'number' && { lr }),
    };
    this.#record.addEpoch(event);
    this.#carried.reset();
    this.#data.passed();
    await this.#callbacks.tell([
      ...(validated ? [['onValidation', validated] satisfies Told] : []),
      ['onEpoch', event],
    ]);
    await this.#save(validated?.improved);
  }

  async #validate(): Promise<void> {
    const values = await this.#evaluate();
    if (values === undefined) return;
    const validated = this.#validated(values, this.#data.position.pass + 1);
    await this.#callbacks.call('onValidation', validated);
    await this.#save(validated.improved);
  }

  /** Measures; undefined where it was given up because the signal is aborted. */
  #evaluate(): Promise<MetricValues | undefined> {
    const { validation, metrics = [], carry = {}, signal } = this.#options;
    if (validation === undefined) throw new FitError('invalid-argument', 'there are no validation data');
    const batches = validation.length;
    return this.#unlessAborted(
      evaluate(this.#model, validation, {
        metrics,
        carry,
        ...(signal && { signal }),
        onBatch: (batch) =>
          this.#callbacks.call('onValidationBatch', { batch, ...(batches !== undefined && { batches }) }),
      }),
    );
  }

  /** Draws the conclusions from a validation. */
  #validated(values: MetricValues, epoch: number): ValidationEvent {
    const metric = numberOf(values, this.#monitored.name);
    this.#model.reportMetric?.(numberOf(values, this.#options.plateau ?? 'loss'));
    const improved = this.#record.validated(metric, this.#step, epoch);
    this.#metric = metric;
    if (this.#options.signal?.aborted !== true) this.#stopEarly();
    return { step: this.#step, epoch, values, improved };
  }

  #stopEarly(): void {
    const detail = this.#record.stagnation;
    if (detail !== undefined) this.#stopped ??= { reason: 'early-stop', detail };
  }

  async #save(improved = false): Promise<void> {
    const { checkpoints, restoreBest } = this.#options;
    if (checkpoints === undefined) {
      if (improved && restoreBest === true) this.#bestState = await this.#model.state?.();
      return;
    }
    if (this.#moment() === this.#saved) return;
    await this.#callbacks.call('onSave', this.#place);
    await this.#write(checkpoints.store);
  }

  /** Where training is. */
  get #place(): Resumed {
    const { pass, taken } = this.#data.position;
    return { step: this.#step, epochs: pass, batch: taken, lastValidation: this.#record.lastValidation };
  }

  /** What differs between two checkpoints. */
  #moment(): string {
    return JSON.stringify(this.#place);
  }

  /** Writes the model's state with the loop's own, to go on from. */
  async #write(store: CheckpointStore): Promise<void> {
    const moment = this.#moment();
    const metric = this.#metric;
    const state = this.#carried.saved(await (this.#model as Required<Trainable>).state());
    const data = { ...state.data, position: this.#data.position, loop: this.#record.toJson() };
    await store.save({ ...state, data }, metric === undefined ? {} : { metric });
    this.#saved = moment;
    this.#metric = undefined;
  }

  async #resume(): Promise<void> {
    const { checkpoints } = this.#options;
    if (checkpoints?.resume !== true) return;
    const found = await checkpoints.store.latest();
    if (found === undefined) return;
    const { data, step } = found.state;
    if (data?.loop === undefined) {
      throw new FitError(
        'state-mismatch',
        'the newest checkpoint was not saved by fit: it lacks the position in the data; load it into the model and start without resume',
      );
    }
    this.#record.load(data.loop);
    await this.#data.resume(data.position);
    await (this.#model as Required<Trainable>).load(found.state);
    this.#carried.load(found.state);
    this.#step = step;
    this.#resumed = this.#place;
    this.#saved = this.#moment();
    this.#stopEarly();
  }

  async #restoreBest(): Promise<void> {
    const { restoreBest, checkpoints } = this.#options;
    const { best } = this.#record;
    if (restoreBest !== true || best === undefined) return;
    const state = checkpoints === undefined ? this.#bestState : (await checkpoints.store.best())?.state;
    if (state?.step !== best.step) {
      throw new FitError(
        'best-missing',
        `the best validation, ${this.#monitored.name} ${best.value}, was at step ${best.step}, and ` +
          `${state === undefined ? 'there is no checkpoint of it' : `the best checkpoint is of step ${state.step}`}; the last weights ` +
          'are in use, and go on without restoreBest. A store has to keep the best: ' +
          `Checkpoints.open(directory, { best: '${this.#monitored.better === 'lower' ? 'min' : 'max'}' })`,
      );
    }
    await (this.#model as Required<Trainable>).load(state);
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
    const { best, history, curve } = this.#record;
    return {
      ...(this.#stopped ?? { reason: 'completed' }),
      step: this.#step,
      epochs: this.#data.position.pass,
      history,
      ...(best && { best }),
      curve,
    };
  }
}

/** @throws FitError `invalid-metric` for what cannot be compared */
function numberOf(values: MetricValues, name: string): number {
  const value: unknown = values[name];
  if (typeof value === 'number') return value;
  throw new FitError(
    'invalid-metric',
    `the metric '${name}' must give a number, as it is compared; got ${kindOf(value)}`,
  );
}
