import type { OptimizerConfig } from '../optimizer/node.js';
import type { ParameterRole } from '../optimizer/match.js';
import type { SlotMeaning } from '../component/component.js';
import type { Extent } from '../expression/type.js';
import type { PlateauState } from '../schedule/schedule.js';
import type { NarrowName } from '../tensor/narrow.js';
import type { StoredTensor } from '../tensor/stored-tensor.js';
import type { TensorData } from '../tensor/tensor-data.js';

/** Anything that JSON holds. */
export type JsonValue = null | boolean | number | string | readonly JsonValue[] | JsonObject;

/** A JSON object: values by name. */
export interface JsonObject {
  readonly [name: string]: JsonValue;
}

/** Something kept for a parameter. */
export interface SlotState extends TensorData {
  /**
   * What its axes count, in terms of the parameter's matrix view: none for one number. Missing where the slot has the
   * parameter's own shape.
   */
  readonly axes?: readonly [] | readonly [Extent, Extent];
  /** Format that its numbers fit in, where narrower than the tensor's. */
  readonly narrow?: NarrowName;
}

/** What is kept for one parameter. */
export interface ParameterState {
  /** The parameter itself: what is trained, never a view. */
  readonly value: TensorData;
  /** Updates this parameter has had. Parameters added in mid-training, or without a gradient at times, lag behind. */
  readonly step: number;
  /** Slots by name. */
  readonly slots: Readonly<Record<string, SlotState>>;
  /** What the slots hold, by which they convert to those of another optimizer. */
  readonly meanings?: Readonly<Record<string, SlotMeaning>>;
  /**
   * Hash of the rule and what is around it, for this parameter. Missing in states from before it was kept, and from
   * other software: then names and shapes of slots have to do.
   */
  readonly programHash?: string;
  readonly role?: ParameterRole;
  /** Which axis of the value counts its layer's outputs, where that was said: see `ParameterSpec`. Default: the first. */
  readonly units?: 'first' | 'last';
}

/** Batches of a step that is not complete yet. */
export interface CollectedBatches {
  readonly batches: number;
  readonly samples: number;
  /** Names of parameters that had no gradient in any of them. Default: none. */
  readonly without?: readonly string[];
}

/** Dynamic loss scaling. */
export interface LossScaleState {
  readonly scale: number;
  /** Steps since the scale changed last. */
  readonly good: number;
}

/** All that is needed to go on as if nothing had happened. Leaves have names, never positions. */
export interface TrainingState {
  readonly optimizer: OptimizerConfig;
  /** Optimizer steps taken so far. */
  readonly step: number;
  readonly parameters: Readonly<Record<string, ParameterState>>;
  /** Numbers that belong to all parameters together, by name. */
  readonly globals?: Readonly<Record<string, number>>;
  readonly collected?: CollectedBatches;
  readonly lossScale?: LossScaleState;
  /** What schedules on plateaus have seen, by `<groups>:<hyperparameter>`. */
  readonly plateaus?: Readonly<Record<string, PlateauState>>;
  /** Steps that were skipped because something was not finite. */
  readonly skipped?: number;
  /** Tensors that training updates without the optimizer, e.g. the running mean of a batch normalization, by name. */
  readonly statistics?: Readonly<Record<string, TensorData | StoredTensor>>;
  /** State of random number generators, as whoever draws from them saved it. */
  readonly random?: JsonObject;
  /** Position in the data, as whoever reads them saved it. */
  readonly data?: JsonObject;
  /** Where it was taken, for people: e.g. `onnxruntime-node/cpu`. */
  readonly origin: string;
  /** Versions of the software that took it, by package, for people. */
  readonly versions?: Readonly<Record<string, string>>;
}

/** What a state holds of no single parameter. */
export type OverallState = Pick<TrainingState, 'step' | 'globals' | 'collected' | 'lossScale' | 'plateaus' | 'skipped'>;
