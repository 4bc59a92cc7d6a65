import { kindOf, kinds, type OptionKind } from '@adakit/core';
import { FitError, requireOptions } from './error.js';
import type { Callback, EpochEvent, FitResult, RunStart, ValidationEvent } from './loop/callback.js';
import { Callbacks, type CallbackFailure, type Told } from './loop/callbacks.js';
import { LossCurve } from './loop/loss-curve.js';

/** What TensorFlow.js tells callbacks; numbers, or tensors of one. @inline */
type Logs = Readonly<Record<string, unknown>> | undefined;

/** Callbacks as `model.fit` of TensorFlow.js takes them. */
export interface TfjsCallbacks {
  onTrainBegin(logs?: Logs): Promise<void>;
  onBatchEnd(batch: number, logs?: Logs): Promise<void>;
  onEpochBegin(epoch: number, logs?: Logs): Promise<void>;
  onEpochEnd(epoch: number, logs?: Logs): Promise<void>;
  onTrainEnd(logs?: Logs): Promise<void>;
}

/** What the callbacks of `model.fit` do. */
export interface TfjsCallbacksOptions {
  /** Steps taken before. Default: 0. */
  readonly step?: number;
  /** For progress: as given to `model.fit`. */
  readonly epochs?: number;
  /** For progress: batches of an epoch. */
  readonly batches?: number;
  readonly signal?: AbortSignal;
}

/**
 * The same callbacks and logs for `model.fit` and `model.fitDataset` of TensorFlow.js:
 * `model.fit(x, y, { epochs, callbacks: tfjsCallbacks(model, [progress(process.stderr)]) })`. What TensorFlow.js calls
 * `val_…` becomes a validation.
 *
 * @param model to stop it: its `stopTraining` is set
 * @throws FitError `callback-failed`, from `model.fit`
 */
export function tfjsCallbacks(
  model: { stopTraining: boolean },
  callbacks: readonly Callback[],
  options: TfjsCallbacksOptions = {},
): TfjsCallbacks {
  requireOptions('tfjsCallbacks', options, {
    step: kinds.count(),
    epochs: kinds.count(1),
    batches: kinds.count(1),
    signal: kinds.signal,
  } satisfies Record<keyof TfjsCallbacksOptions, OptionKind>);
  if (Object(model) !== model) {
    throw new FitError('invalid-argument', `tfjsCallbacks takes the model, got ${kindOf(model)}`);
  }
  if (!Array.isArray(callbacks)) {
    throw new FitError('invalid-argument', `tfjsCallbacks takes a list of callbacks, got ${kindOf(callbacks)}`);
  }
  const training = new TfjsTraining(model, callbacks, options);
  return {
    onTrainBegin: () => training.begin(),
    onEpochBegin: (index) => training.beginEpoch(index + 1),
    onBatchEnd: (index, logs) => training.endBatch(index + 1, logs),
    onEpochEnd: (_, logs) => training.endEpoch(logs),
    onTrainEnd: () => training.end(),
  };
}

/** A training that TensorFlow.js tells of. */
class TfjsTraining {
  readonly #model: { stopTraining: boolean };
  readonly #callbacks: Callbacks;
  readonly #options: TfjsCallbacksOptions;
  readonly #history: EpochEvent[] = [];
  readonly #curve = new LossCurve();
  #step: number;
  #epoch = 0;
  #best: FitResult['best'];
  /** Said by the callback that stopped it. */
  #detail: string | undefined;

  constructor(model: { stopTraining: boolean }, callbacks: readonly Callback[], options: TfjsCallbacksOptions) {
    this.#model = model;
    this.#callbacks = new Callbacks(callbacks, {
      stop: (detail) => {
        this.#detail = detail;
        this.#model.stopTraining = true;
      },
    });
    this.#options = options;
    this.#step = options.step ?? 0;
  }

  begin(): Promise<void> {
    const { epochs, batches, step = 0 } = this.#options;
    return this.#orEnd(
      this.#callbacks.call<RunStart>('onStart', {
        ...(epochs !== undefined && { epochs }),
        ...(batches !== undefined && { batches }),
        ...(step > 0 && { resumed: { step } }),
      }),
    );
  }

  beginEpoch(epoch: number): Promise<void> {
    this.#epoch = epoch;
    return Promise.resolve();
  }

  endBatch(batch: number, logs: Logs): Promise<void> {
    const step = ++this.#step;
    if (this.#isAborted) this.#model.stopTraining = true;
    const loss = numberOf(logs?.loss);
    this.#curve.add(step, loss);
    const samples = numberOf(logs?.size);
    return this.#tell(['onStep', { step, epoch: this.#epoch, batch, loss, samples, outcome: 'taken' }]);
  }

  async endEpoch(logs: Logs = {}): Promise<void> {
    const [step, epoch] = [this.#step, this.#epoch];
    const validation = validationIn(logs);
    const validated = validation && this.#validated(validation);
    const event = { epoch, step, loss: numberOf(logs.loss), ...(validation && { validation }) };
    this.#history.push(event);
    await this.#tell(...(validated ? [['onValidation', validated] satisfies Told] : []), ['onEpoch', event]);
  }

  async end(): Promise<void> {
    const result: FitResult = {
      reason: this.#isAborted ? 'aborted' : this.#model.stopTraining ? 'callback' : 'completed',
      ...(this.#detail !== undefined && { detail: this.#detail }),
      step: this.#step,
      epochs: this.#history.length,
      history: this.#history,
      ...(this.#best && { best: this.#best }),
      curve: this.#curve.points,
    };
    const failure = await this.#callbacks.end(result);
    if (failure !== undefined) throw failure.at(this.#step);
  }

  get #isAborted(): boolean {
    return this.#options.signal?.aborted === true;
  }

  #validated(values: Record<string, number>): ValidationEvent {
    const [step, epoch] = [this.#step, this.#epoch];
    const improved = this.#best === undefined || values.loss < this.#best.value;
    if (improved) this.#best = { value: values.loss, step, epoch };
    return { step, epoch, values, improved };
  }

  #tell(...events: readonly Told[]): Promise<void> {
    return this.#orEnd(this.#callbacks.tell(events));
  }

  /** Ends all callbacks where one fails: TensorFlow.js does not, and logs would lose what they hold back. */
  async #orEnd(called: Promise<void>): Promise<void> {
    try {
      await called;
    } catch (error) {
      await this.#callbacks.end(undefined);
      throw (error as CallbackFailure).at(this.#step);
    }
  }
}

/** What TensorFlow.js calls `val_…`; undefined without any. */
function validationIn(logs: Record<string, unknown>): Record<string, number> | undefined {
  const values = Object.entries(logs).filter(([name]) => name.startsWith('val_'));
  if (values.length === 0) return undefined;
  return Object.fromEntries(values.map(([name, value]) => [name.slice('val_'.length), numberOf(value)]));
}

function numberOf(value: unknown): number {
  if (typeof value === 'number') return value;
  const tensor = value as { dataSync?: () => ArrayLike<number> } | undefined;
  return tensor?.dataSync?.()[0] ?? NaN;
}
