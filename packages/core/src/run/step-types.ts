import type { MaybePromise } from '../device/device.js';
import type { Plan, PlanGroup, PlannedParameter, Stage } from '../plan/plan.js';
import type { Program } from '../program/program.js';
import type { OverallState } from './training-state.js';

/**
 * What to do with a step whose loss or gradients are not finite:
 *
 * - `refuse` (default): an error that names the parameters; nothing has changed.
 * - `skip`: nothing changes but the count of skipped steps.
 * - `scaleBack`: skip, and lower the loss scale; needs `lossScaling()`.
 */
export type NonFinitePolicy = 'refuse' | 'skip' | 'scaleBack';

/**
 * How a {@link Run} treats its steps; every option has a default.
 *
 * @typeParam B a buffer of the device
 */
export interface RunOptions<B> {
  readonly nonFinite?: NonFinitePolicy | undefined;
  /** Reduces gradients over several processes, before anything else looks at them. Default: nothing. */
  readonly reduceGradients?: (gradients: Readonly<Record<string, B>>) => MaybePromise<void>;
  /** Whether groups may choose no parameter for now, where parameters come and go. Default: false. */
  readonly openGroups?: boolean;
  /** Where to go on from: step, loss scale, numbers of all parameters together. Default: the start. */
  readonly resume?: OverallState | undefined;
}

/** Where a step's gradients come from. */
export interface GradientSource<B> {
  /**
   * Computes loss and gradients at the parameters as they are, and writes the gradients into their buffers.
   *
   * @throws to refuse the step; nothing has changed then
   */
  evaluate(context: GradientContext<B>): MaybePromise<Evaluated>;
  /**
   * Computes a second gradient that the optimizer takes in, as {@link evaluate} does, of another loss on the same batch at
   * the same parameters: for Sophia-G the loss of labels drawn from the model's own output. Asked before {@link evaluate} at
   * the steps that `needsEstimate` tells of; nothing but the gradients counts.
   *
   * @throws to refuse the step; nothing has changed then
   */
  estimate?(context: GradientContext<B>): MaybePromise<Evaluated>;
}

/**
 * What a {@link GradientSource} works on.
 *
 * @typeParam B a buffer of the device
 */
export interface GradientContext<B> {
  /** Buffers by parameter name. */
  readonly parameters: Readonly<Record<string, B>>;
  readonly gradients: Readonly<Record<string, B>>;
  /** What to multiply the loss by before it is differentiated. */
  readonly lossScale: number;
  /** Number of the step that is taken, counted from 1; a step that is refused or skipped is taken again. */
  readonly step: number;
  /** Batches collected for the step before this one. */
  readonly batch: number;
  /** For sources that can do the whole step themselves. */
  readonly whole: WholeStep<B>;
}

/** Everything that a step consists of, for sources that compute gradients and update in one go. */
export interface WholeStep<B> {
  readonly plan: Plan;
  /** Stages that follow on the gradients: those of a batch, and those of the step when its last batch is in. */
  readonly stages: readonly Stage[];
  /** Whether the gradient has to be taken a second time, which a whole step cannot do. */
  readonly perturbs: boolean;
  /** What is kept for each parameter, by its index in the plan. */
  readonly kept: readonly { readonly param: B; readonly slots: ReadonlyMap<string, B> }[];
  /** Updates that each parameter has had, by its index in the plan. */
  readonly steps: readonly number[];
  /** Numbers of all parameters together, kept between steps as `global.<name>`. */
  readonly numbers: ReadonlyMap<string, B>;
  /** One number for every instruction of a program, at this step. */
  scalars(program: Program, group: PlanGroup, parameter: PlannedParameter | undefined): Float64Array;
}

/** What a {@link GradientSource} has computed, beside the gradients in their buffers. */
export interface Evaluated {
  /** Not multiplied by the loss scale. */
  readonly loss?: number | undefined;
  /** Names of the parameters that got a gradient. Default: all. */
  readonly gradients?: readonly string[];
  /** The step is done but for its adoption: what was computed from {@link GradientContext.whole}. */
  readonly whole?: {
    /** Names of parameters whose gradients are not finite. */
    readonly nonFinite: readonly string[];
    /** Puts the results into the buffers. */
    readonly commit: () => void;
  };
  /** Called when the step is taken: running statistics and the like change then, and not when it is refused. */
  readonly accept?: () => void;
}

/** What is known of a batch beside its gradients. */
export interface StepOptions {
  /** Samples in the batch, by which batches that are collected count. Default: 1. */
  readonly samples?: number;
}

/** What a step reports. */
export interface StepReport {
  /** Steps taken so far, this one included. */
  readonly step: number;
  readonly loss?: number;
  /** `taken`; `collected` when more batches are awaited; `skipped` when something was not finite. */
  readonly outcome: 'taken' | 'collected' | 'skipped';
}
