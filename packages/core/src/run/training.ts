import type { Device } from '../device/device.js';
import type { ParameterSpec } from '../optimizer/match.js';
import type { Optimizer } from '../optimizer/optimizer.js';
import { makePlan, type Plan } from '../plan/plan.js';
import { HostScalars } from './host-scalars.js';
import { Memory } from './memory.js';
import type { GradientContext, RunOptions } from './step-types.js';
import type { CollectedBatches, LossScaleState, OverallState } from './training-state.js';

/** What a run is at: its optimizer and plan, what is kept, and all counts. What steps, states and views work on. */
export class Training<B> {
  readonly options: RunOptions<B>;
  readonly memory: Memory<B>;
  optimizer: Optimizer;
  plan: Plan;
  scalars: HostScalars;
  /** Steps taken so far. */
  step = 0;
  /** Steps that were skipped because something was not finite. */
  skipped = 0;
  collected: CollectedBatches | undefined;
  lossScale: LossScaleState | undefined;
  openGroups: boolean;
  /** Checks of steps taken whose outcome is not known yet. */
  readonly checks = new Set<Promise<void>>();
  /** What has become known of a step after it was taken; the next one reports it. */
  failure: Error | undefined;

  /** Without parameters at first: a run adds them. */
  constructor(device: Device<B>, optimizer: Optimizer, options: RunOptions<B>) {
    this.options = options;
    this.memory = new Memory(device);
    this.optimizer = optimizer;
    this.openGroups = options.openGroups === true;
    this.plan = this.makePlan(optimizer, []);
    this.scalars = new HostScalars(this.plan);
  }

  /** The buffers of parameters and gradients, by name. */
  get buffers(): Pick<GradientContext<B>, 'parameters' | 'gradients'> {
    const named = (of: 'param' | 'grad'): Record<string, B> =>
      Object.fromEntries(this.plan.parameters.map(({ name }, i) => [name, this.memory.records[i][of]]));
    return (this.memory.buffers ??= { parameters: named('param'), gradients: named('grad') });
  }

  makePlan(optimizer: Optimizer, parameters: readonly ParameterSpec[] = this.plan.parameters): Plan {
    return makePlan(optimizer, parameters, { allowEmptyGroups: this.openGroups });
  }

  /** Goes on with a changed optimizer; slots that it adds start at their start, those that it no longer has are freed. */
  replan(optimizer: Optimizer): void {
    const plan = this.makePlan(optimizer);
    this.optimizer = optimizer;
    plan.parameters.forEach((parameter, i) => {
      this.memory.fitSlots(this.memory.records[i], parameter, this.plan.parameters[i].slots);
    });
    this.adopt(plan);
  }

  /** Goes on with a plan for which all slots are there. */
  adopt(plan: Plan): void {
    this.plan = plan;
    this.scalars = new HostScalars(plan, this.scalars.plateaus);
    this.memory.planChanged();
    plan.phases?.start(this);
  }

  /** Goes on from counts of before. */
  resume(state: OverallState): void {
    this.scalars = new HostScalars(this.plan, new Map(Object.entries(state.plateaus ?? {})));
    this.step = state.step;
    this.collected = state.collected;
    this.skipped = state.skipped ?? 0;
    this.lossScale = undefined;
    this.plan.phases?.start(this, state);
  }
}
