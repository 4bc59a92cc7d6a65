import type { NonFinitePolicy, Optimizer } from '@adakit/core';
import type { ComputePrecision, Loss, MemoryLimit, Model, Target, TrainableOptions } from '@adakit/onnx';
import type { ExecutionProvider } from './provider-options.js';
import type { RuntimeChoice } from './runtime/choose-runtime.js';
import type { SessionOptions } from './runtime/runtime.js';

/** What a `TrainingSession` trains, and how. */
export interface TrainingSessionOptions extends TrainableOptions, RuntimeChoice {
  /** An ONNX inference model: its path, its bytes, or one that has been read (and edited: a new head, adapters). */
  readonly model: string | Uint8Array | Model;
  readonly loss: Loss;
  readonly optimizer: Optimizer;
  /**
   * Tried in order; the first that works runs everything. Names, or names with options: `{ name: 'cuda', deviceId: 1 }`.
   * Default: `['cpu']`.
   */
  readonly executionProviders?: readonly ExecutionProvider[];
  /**
   * Where the update is computed: `fused` in one loop on the host, `graph` inside ONNX Runtime. `auto`, the default,
   * is `fused` on the CPU and `graph` elsewhere. An optimizer that takes the gradient twice a step (`sam`, `sophia`) is
   * always `fused`.
   */
  readonly update?: 'auto' | 'fused' | 'graph';
  /**
   * How many steps one run of the runtime makes in `steps` of the session. The update is in the graph then, and
   * parameters and state cross between host and device once for all of them. Worth it on CUDA through onnxruntime-node; the
   * native runtime leaves them on the device anyway. Default: 1.
   */
  readonly stepsPerRun?: number;
  /**
   * What the graphs are written for. Default: ONNX Runtime on the provider that is used, `targets.portable` for one without a
   * target of its own. For comparing formulations.
   */
  readonly target?: Target;
  /**
   * What products are computed in; parameters, state, losses and updates are float32 in any case, and so are `evaluate` and
   * `predict`. With `float16` the loss is scaled dynamically (`lossScaling`), unless the optimizer says how. `bfloat16` is for
   * CUDA. Default: `float32`, the model as it is.
   */
  readonly precision?: ComputePrecision;
  /**
   * How much a step may keep at a time of what it computes, with the sizes of free dimensions that this is for:
   * `{ bytes: 2 ** 30, dims: { batch: 128 } }`. Where a step would keep more, it computes a part of its forward pass again, with
   * the same numbers. Weights, gradients, state and batches are not in it, nor what the runtime takes beside. Default: no limit.
   */
  readonly memoryLimit?: MemoryLimit;
  /** What to do with a step whose loss or gradients are not finite. Default: `refuse`, an error that names parameters. */
  readonly nonFinite?: NonFinitePolicy;
  /**
   * Of what is drawn in training, the model's dropout and noise and Sophia's labels: a whole number in [0, 2³²). The same
   * seed makes the same run. It is part of the state. Default: another one every time.
   */
  readonly seed?: number;
  /** Outputs of the model that steps give as well, as they are in training mode. Default: none. */
  readonly outputs?: readonly string[];
  /** Passed on to ONNX Runtime, e.g. `{ intraOpNumThreads: 2 }`. */
  readonly session?: SessionOptions;
}
