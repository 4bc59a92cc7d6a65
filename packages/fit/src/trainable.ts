import type { StepReport, TrainingState } from '@adakit/core';
import type { Batch, DataTensor, InputSpec } from '@adakit/data';

/**
 * What the loop trains: anything with steps. A `TrainingSession` of `@adakit/runner-onnx` is one. What is optional is needed
 * for what it does: `evaluate` for validation, `state` and `load` for checkpoints and best weights.
 */
export interface Trainable {
  /** One training step, or one of several batches that make a step. Outputs are needed where state is carried. */
  step(batch: Batch): Promise<TrainableReport>;
  /**
   * As many steps as there are batches, in one go where it can. `onStep` is told of each, in order, once it is taken: where this
   * throws, those that it was told of have been taken, and no others.
   */
  steps?(batches: readonly Batch[], options: { readonly onStep: (report: TrainableReport) => void }): Promise<unknown>;
  /** How many batches {@link steps} takes at a time. Default: 1. */
  readonly stepsPerRun?: number;
  /** Loss, averaged over the batch, and outputs in inference mode; nothing is updated. */
  evaluate?(batch: Batch): Promise<{ readonly loss: number; readonly outputs: Outputs }>;
  state?(): Promise<TrainingState>;
  load?(state: TrainingState): Promise<void>;
  /** Tells schedules on plateaus how training goes. */
  reportMetric?(metric: number): void;
  /** Hyperparameters as the next step has them, schedules applied: the `lr` among them is logged. */
  hyperparameters?(): Promise<Readonly<Record<string, number | boolean | string>>>;
  /** What batches are brought to the element types and shapes of. Default: batches are passed on as they are. */
  readonly inputs?: readonly InputSpec[];
  /** Steps taken before. Default: none. */
  readonly stepCount?: number;
}

/** What a step of a {@link Trainable} reports. */
export type TrainableReport = StepReport & { readonly outputs?: Outputs };

/** Outputs of a model by name. */
export type Outputs = Readonly<
  Record<string, { readonly data: unknown; readonly dims: readonly number[] } | DataTensor>
>;
