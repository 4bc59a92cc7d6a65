import type { MaybePromise, StepReport } from '@adakit/core';
import type { MetricValue } from '../metrics/metric.js';
import type { MetricValues } from './evaluate.js';

/** When a validation was made. Several may be made at one step, where many batches make a step. */
export interface ValidationPlace {
  readonly step: number;
  readonly epoch: number;
}

/** Where training goes on from. What was told of what came later is void: it is told again. */
export interface Resumed {
  /** Steps taken. */
  readonly step: number;
  /** Epochs completed, and batches taken of the one that follows. `model.fit` of TensorFlow.js does not say. */
  readonly epochs?: number;
  readonly batch?: number;
  /** The last validation; before the first, where training had begun. */
  readonly lastValidation?: ValidationPlace;
}

/** What a callback learns when training begins. */
export interface RunStart {
  /** Passes and steps after which it ends, as far as that was said. */
  readonly epochs?: number;
  readonly steps?: number;
  /** Batches of an epoch, where that is known. */
  readonly batches?: number;
  readonly resumed?: Resumed;
}

/** A step, or one batch of it. */
export interface StepEvent {
  /** Steps taken, this one included. */
  readonly step: number;
  /** The epoch under way, counted from 1, and the batch in it. */
  readonly epoch: number;
  readonly batch: number;
  /** Of the batch before the update. */
  readonly loss: number;
  readonly samples: number;
  readonly outcome: StepReport['outcome'];
}

/** What came out of the validation data. */
export interface ValidationEvent {
  readonly step: number;
  readonly epoch: number;
  readonly values: MetricValues;
  /** Whether it is better than all before by what is monitored. */
  readonly improved: boolean;
}

/** An epoch, completed. */
export interface EpochEvent {
  readonly epoch: number;
  readonly step: number;
  /** Averaged over the epoch's samples, each batch before its update. */
  readonly loss: number;
  readonly validation?: MetricValues;
  /** The learning rate that the next step would have, before the validation is reported; where what is trained says it. */
  readonly lr?: number;
}

/** Why training ended. */
export type EndReason = 'completed' | 'early-stop' | 'callback' | 'aborted';

/** What training came to. */
export interface FitResult {
  readonly reason: EndReason;
  /** Said by the callback that stopped it. */
  readonly detail?: string;
  /** Steps taken, those before included. */
  readonly step: number;
  /** Epochs completed. */
  readonly epochs: number;
  readonly history: readonly EpochEvent[];
  /** The best validation by what is monitored. */
  readonly best?: { readonly value: number; readonly step: number; readonly epoch: number };
  /** The training loss over steps, thinned out. */
  readonly curve: readonly { readonly step: number; readonly loss: number }[];
}

/** Lets a callback end training after the current step. */
export interface Control {
  stop(detail?: string): void;
}

/**
 * What is called while training goes on. Each may be asynchronous, is waited for, and may be missing. An error ends training,
 * once everybody has been told of what has happened; the state is whole and is saved then.
 */
export interface Callback {
  /** For messages. */
  readonly name?: string;
  onStart?(start: RunStart, control: Control): MaybePromise<void>;
  onStep?(event: StepEvent, control: Control): MaybePromise<void>;
  /** With every batch of the validation data; there are so many in all, where that is known. */
  onValidationBatch?(
    event: { readonly batch: number; readonly batches?: number },
    control: Control,
  ): MaybePromise<void>;
  onValidation?(event: ValidationEvent, control: Control): MaybePromise<void>;
  onEpoch?(event: EpochEvent, control: Control): MaybePromise<void>;
  /**
   * Before a checkpoint is written: what a log holds back has to go to the disk first. Who goes on from that checkpoint is told
   * of the same place.
   */
  onSave?(event: Resumed, control: Control): MaybePromise<void>;
  /** At the end, also after an error, then without a result. */
  onEnd?(result: FitResult | undefined, control: Control): MaybePromise<void>;
}

/** A value as a number for what takes numbers alone. */
export function scalarsOf(values: MetricValues): Record<string, number> {
  return Object.fromEntries(
    Object.entries(values).filter((entry): entry is [string, MetricValue & number] => typeof entry[1] === 'number'),
  );
}
