import type { Optimizer } from '../optimizer/optimizer.js';
import type { Precision } from '../execution/interpreter.js';
import type { TrainingState } from '../state/training-state.js';
import type { NamedTensors } from '../tensor/tensor-data.js';

/** Something whose training state can be taken out and put back, on any backend. */
export interface Stateful {
  /** A copy of everything needed to go on; shares no memory with the run. */
  state(): Promise<TrainingState>;
  /**
   * Replaces parameters, slots, step and hyperparameters by those of `state`.
   *
   * @throws AdakitError when the state does not fit; the run is then unchanged
   */
  load(state: TrainingState): Promise<void>;
}

/** An optimizer at work on named parameters, on some backend. */
export interface Run extends Stateful {
  /** Which backend, e.g. `js` or `tfjs/wasm`. */
  readonly backend: string;
  /** The optimizer with its current hyperparameters. */
  readonly optimizer: Optimizer;
  /** Changes hyperparameters from the next step on. */
  setHyperparameters(changes: Readonly<Record<string, number | boolean>>): void;
  /**
   * Takes one step. Parameters without a gradient stay as they are, and so do their slots and step counts.
   *
   * @throws AdakitError for a gradient of an unknown parameter or of another shape; nothing has been updated then
   */
  applyGradients(gradients: NamedTensors): Promise<void>;
  /** Frees what the backend holds. The run cannot be used afterwards. */
  dispose(): Promise<void>;
}

/** A backend that can run optimizers: what every runner package provides and the conformance kit tests. */
export interface Runner {
  readonly backend: string;
  /** The precision of tensors on this backend. */
  readonly precision: Precision;
  /** Starts a run on copies of `parameters`. */
  start(optimizer: Optimizer, parameters: NamedTensors): Promise<Run>;
}
