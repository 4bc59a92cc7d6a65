import type { MaybePromise } from '@adakit/core';
import { FitError } from './error.js';
import type { Callback, Control, EpochEvent, FitResult } from './loop/callback.js';
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
  { step: before = 0, epochs, batches, signal }: TfjsCallbacksOptions = {},
): TfjsCallbacks {
  let step = before;
  let epoch = 0;
  let completed = 0;
  let best: FitResult['best'];
  let detail: string | undefined;
  const history: EpochEvent[] = [];
  const curve = new LossCurve();
  const control: Control = {
    stop: (why) => {
      detail = why;
      model.stopTraining = true;
    },
  };
  const call = async (event: string, each: (callback: Callback) => MaybePromise<void> | undefined): Promise<void> => {
    for (const callback of callbacks) {
      try {
        await each(callback);
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        throw new FitError(
          'callback-failed',
          `${callback.name ?? 'a callback'}, ${event}, failed at step ${step}: ${reason}`,
          { cause: error },
        );
      }
    }
  };
  return {
    onTrainBegin: () =>
      call('onStart', (callback) =>
        callback.onStart?.(
          {
            ...(epochs !== undefined && { epochs }),
            ...(batches !== undefined && { batches }),
            ...(before > 0 && { resumed: { step: before } }),
          },
          control,
        ),
      ),
    onEpochBegin: (index) => {
      epoch = index + 1;
      return Promise.resolve();
    },
    onBatchEnd: (index, logs) => {
      step++;
      if (signal?.aborted === true) model.stopTraining = true;
      const loss = numberOf(logs?.loss);
      curve.add(step, loss);
      const event = { step, epoch, batch: index + 1, loss, samples: numberOf(logs?.size), outcome: 'taken' } as const;
      return call('onStep', (callback) => callback.onStep?.(event, control));
    },
    onEpochEnd: async (_, logs = {}) => {
      completed++;
      const validation = Object.fromEntries(
        Object.entries(logs).flatMap(([name, value]) =>
          name.startsWith('val_') ? [[name.slice(4), numberOf(value)] as const] : [],
        ),
      );
      const validates = Object.keys(validation).length > 0;
      if (validates) {
        const improved = best === undefined || validation.loss < best.value;
        if (improved) best = { value: validation.loss, step, epoch };
        await call('onValidation', (callback) =>
          callback.onValidation?.({ step, epoch, values: validation, improved }, control),
        );
      }
      const event = { epoch, step, loss: numberOf(logs.loss), ...(validates && { validation }) };
      history.push(event);
      await call('onEpoch', (callback) => callback.onEpoch?.(event, control));
    },
    onTrainEnd: () => {
      const reason = signal?.aborted === true ? 'aborted' : model.stopTraining ? 'callback' : 'completed';
      const result: FitResult = {
        reason,
        ...(detail !== undefined && { detail }),
        step,
        epochs: completed,
        history,
        ...(best && { best }),
        curve: curve.points,
      };
      return call('onEnd', (callback) => callback.onEnd?.(result, control));
    },
  };
}

function numberOf(value: unknown): number {
  if (typeof value === 'number') return value;
  const tensor = value as { dataSync?: () => ArrayLike<number> } | undefined;
  return tensor?.dataSync?.()[0] ?? NaN;
}
