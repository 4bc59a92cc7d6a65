import type { Slot } from '../component/component.js';
import {
  bufferNames,
  deviceInputs,
  type Binding,
  type BoundKernel,
  type Device,
  type Kernel,
  type MaybePromise,
} from '../device/device.js';
import { AdakitError } from '../errors.js';
import { concreteShape, matrixExtents } from '../expression/type.js';
import type { HyperparameterValues } from '../optimizer/hyperparameters.js';
import type { ParameterSpec } from '../optimizer/match.js';
import type { ChangeScope, Optimizer } from '../optimizer/optimizer.js';
import { makePlan, type Plan, type PlanGroup, type PlannedParameter, type Stage } from '../plan/plan.js';
import type { Program } from '../program/program.js';
import { evaluateScalars } from '../program/scalars.js';
import { elementCount, sameShape, type FloatArray, type NamedTensors, type TensorData } from '../tensor/tensor-data.js';
import { drive, driveNow, wait, type Work } from './drive.js';
import { HostScalars, type ScalarsOf } from './host-scalars.js';
import { keptProblems } from './check-slots.js';
import { parameterState, tensorOf } from './parameter-state.js';
import type {
  CollectedBatches,
  LossScaleState,
  OverallState,
  ParameterState,
  TrainingState,
} from './training-state.js';

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
  readonly nonFinite?: NonFinitePolicy;
  /** Reduces gradients over several processes, before anything else looks at them. Default: nothing. */
  readonly reduceGradients?: (gradients: Readonly<Record<string, B>>) => MaybePromise<void>;
  /** Whether groups may choose no parameter for now, where parameters come and go. Default: false. */
  readonly openGroups?: boolean;
  /** Where to go on from: step, loss scale, numbers of all parameters together. Default: the start. */
  readonly resume?: OverallState;
}

/** A parameter to start with: a value to copy, or a buffer that holds it already and stays its owner's. */
export type RunParameter<B> = Omit<ParameterSpec, 'name' | 'shape'> & {
  /** What was kept for it before, to go on from. Default: slots at their start, no updates yet. */
  readonly kept?: Pick<ParameterState, 'step' | 'slots'>;
} & ({ readonly value: TensorData } | { readonly buffer: B; readonly shape: readonly number[] });

/** Where a step's gradients come from. */
export interface GradientSource<B> {
  /**
   * Computes loss and gradients at the parameters as they are, and writes the gradients into their buffers.
   *
   * @throws to refuse the step; nothing has changed then
   */
  evaluate(context: GradientContext<B>): MaybePromise<Evaluated>;
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
  readonly kept: readonly { readonly param: B; readonly slots: ReadonlyMap<string, B>; readonly step: number }[];
  readonly globals: ReadonlyMap<string, B>;
  /** One number for every instruction of a program, at this step. */
  scalars(program: Program, group: PlanGroup, parameter: PlannedParameter | undefined): Float64Array;
}

/** What a {@link GradientSource} has computed, beside the gradients in their buffers. */
export interface Evaluated {
  /** Not multiplied by the loss scale. */
  readonly loss?: number;
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

/** What can be asked of a run while it does nothing else: see {@link Run.exclusively}. */
export interface Exclusive<B> {
  /** As {@link Run.weights}. */
  weights(view?: string): Promise<NamedTensors>;
  /**
   * As {@link Run.state}.
   *
   * @param read what to take as a buffer's elements; a view of them saves the copy when the state is not kept
   */
  state(read?: (buffer: B) => MaybePromise<FloatArray>): Promise<TrainingState>;
  /** As {@link Run.load}. */
  load(state: TrainingState): Promise<void>;
}

/** A step that is taken unless its check says otherwise. */
interface MaskedStep<B> {
  readonly number: number;
  /** Of the parameters that took part. */
  readonly names: readonly string[];
  readonly records: readonly Kept<B>[];
  /** What had been collected before. */
  readonly before: CollectedBatches | undefined;
  readonly complete: boolean;
  readonly samples: number;
}

/** What is kept for one parameter on the device. */
interface Kept<B> {
  readonly param: B;
  /** Whether the run made the parameter's buffer. */
  readonly own: boolean;
  readonly grad: B;
  readonly slots: Map<string, B>;
  /** Where the parameter was before it was perturbed. */
  origin?: B;
  step: number;
}

/**
 * An optimizer at work on named parameters, on a device. The only owner of what is kept, of step counts, schedules, the
 * order of calls, the policy for what is not finite, views and states: everything that trains with adakit is one of these.
 *
 * Calls are carried out one after the other, in the order made, changes of hyperparameters included.
 */
export class Run<B> implements Stateful {
  readonly device: Device<B>;
  readonly #options: RunOptions<B>;
  #optimizer: Optimizer;
  /** Changes of hyperparameters that wait in the queue. */
  #changes: readonly { readonly values: HyperparameterValues; readonly scope: ChangeScope }[] = [];
  #plan: Plan;
  #records: Kept<B>[];
  #globals = new Map<string, B>();
  #scalars: HostScalars;
  #step = 0;
  #collected: CollectedBatches | undefined;
  #lossScale: LossScaleState | undefined;
  #skipped = 0;
  #openGroups: boolean;
  /** Checks of steps taken whose outcome is not known yet. */
  readonly #checks = new Set<Promise<void>>();
  /** What has become known of a step after it was taken; the next one reports it. */
  #failure: Error | undefined;
  #disposed = false;
  /** Calls not finished, and the end of their queue. */
  #waiting = 0;
  #last: Promise<unknown> = Promise.resolve();
  readonly #kernels = new Map<string, Kernel<B>>();
  /** Bound kernels of this plan, by program and parameters. */
  #bound = new Map<string, BoundKernel & { readonly records: readonly Kept<B>[] }>();
  /** Start values that the device is still computing; whatever comes next waits for them. */
  #starting: Promise<unknown> | undefined;
  /** Of this plan, once somebody has asked for them. */
  #buffers: Pick<GradientContext<B>, 'parameters' | 'gradients'> | undefined;
  /** Of all parameters of this plan: the same list every step, which a device may prepare for. */
  #gradients: readonly B[] | undefined;
  /** Totals over parameters, while a step runs. */
  readonly #totals = new Map<string, B>();

  private constructor(device: Device<B>, optimizer: Optimizer, plan: Plan, records: Kept<B>[], options: RunOptions<B>) {
    this.device = device;
    this.#options = options;
    this.#openGroups = options.openGroups === true;
    this.#optimizer = optimizer;
    this.#plan = plan;
    this.#records = records;
    this.#scalars = new HostScalars(plan);
    this.#startLossScale(options.resume?.lossScale);
  }

  /**
   * Starts a run.
   *
   * @param parameters by name; copied
   * @throws AdakitError `unknown-parameter` for a group that chooses none of them, `invalid-plan`, `invalid-rule`
   */
  static start<B>(
    device: Device<B>,
    optimizer: Optimizer,
    parameters: Readonly<Record<string, RunParameter<B> | TensorData>>,
    options: RunOptions<B> = {},
  ): Run<B> {
    const given = Object.entries(parameters).map(([name, parameter]) => toParameter(name, parameter));
    const plan = makePlan(
      optimizer,
      given.map(({ spec }) => spec),
      { allowEmptyGroups: options.openGroups === true },
    );
    if (options.nonFinite === 'scaleBack' && plan.lossScale === undefined) {
      throw new AdakitError(
        'invalid-plan',
        "nonFinite: 'scaleBack' lowers the loss scale, but nothing scales the loss; put lossScaling() around the optimizer",
      );
    }
    const run = new Run(device, optimizer, plan, [], options);
    run.#records = run.#allocate(plan.parameters, given);
    run.#startGlobals();
    if (options.resume) run.#resume(options.resume);
    return run;
  }

  /** Which device, e.g. `js` or `tfjs/wasm`. */
  get backend(): string {
    return this.device.name;
  }

  /** The optimizer with its current hyperparameters, changes that wait in the queue included. */
  get optimizer(): Optimizer {
    return this.#changes.reduce((optimizer, { values, scope }) => optimizer.with(values, scope), this.#optimizer);
  }

  /** Steps taken so far. */
  get step(): number {
    return this.#step;
  }

  /** Steps that were skipped because something was not finite. */
  get skipped(): number {
    return this.#skipped;
  }

  get parameters(): readonly ParameterSpec[] {
    return this.#plan.parameters;
  }

  get lossScale(): number {
    return this.#lossScale?.scale ?? 1;
  }

  /** Names of the weights that can be asked for: `trained`, and what pieces of the optimizer keep beside. */
  get views(): readonly string[] {
    return ['trained', ...Object.keys(this.#plan.views)];
  }

  /** What to evaluate, predict with and export: `averaged` where the optimizer averages weights, `trained` elsewhere. */
  get defaultView(): string {
    return Object.hasOwn(this.#plan.views, 'averaged') ? 'averaged' : 'trained';
  }

  /** The buffers of parameters and gradients, for whoever computes gradients on the same device. */
  get buffers(): Pick<GradientContext<B>, 'parameters' | 'gradients'> {
    const named = (pick: (record: Kept<B>) => B): Record<string, B> =>
      Object.fromEntries(this.#plan.parameters.map(({ name }, i) => [name, pick(this.#records[i])]));
    return (this.#buffers ??= { parameters: named(({ param }) => param), gradients: named(({ grad }) => grad) });
  }

  /**
   * Changes hyperparameters from the next step on that is asked for after this call. A wrapper's are named with it:
   * `{ 'ema.decay': 0.99 }`.
   *
   * @throws AdakitError naming the hyperparameter that is unknown or out of range, or the group that does not exist
   */
  setHyperparameters(changes: HyperparameterValues, scope: ChangeScope = {}): void {
    this.#assertAlive();
    this.#makePlan(this.optimizer.with(changes, scope));
    if (this.#waiting === 0) {
      this.#replan(this.#optimizer.with(changes, scope));
      return;
    }
    const change = { values: changes, scope };
    this.#changes = [...this.#changes, change];
    const changed = this.#enqueue(() => {
      this.#changes = this.#changes.filter((other) => other !== change);
      this.#replan(this.#optimizer.with(changes, scope));
      return wait(undefined);
    });
    // It was right when it was asked for; a state loaded since may have no place for it.
    changed.catch((error: unknown) => {
      this.#failure = error as Error;
    });
  }

  /** Tells schedules on plateaus how training goes, e.g. a validation loss after every epoch. */
  reportMetric(metric: number): void {
    this.#assertAlive();
    if (this.#waiting === 0) this.#scalars.report('metric', metric);
    else
      void this.#enqueue(() => {
        this.#scalars.report('metric', metric);
        return wait(undefined);
      });
  }

  /**
   * Takes one step with gradients from elsewhere. Parameters without a gradient stay as they are, and so do their slots
   * and step counts.
   *
   * @throws AdakitError `unknown-parameter` or `invalid-gradient` for gradients that do not fit, `non-finite`; nothing has
   * been updated then
   */
  applyGradients(
    gradients: NamedTensors,
    { loss, ...options }: StepOptions & Pick<Evaluated, 'loss'> = {},
  ): Promise<StepReport> {
    const source: GradientSource<B> = {
      evaluate: ({ gradients: buffers }) => {
        if (this.#plan.perturbStages.length > 0) {
          throw new AdakitError(
            'invalid-plan',
            'this optimizer takes the gradient twice a step; use stepWith(), which can ask for it again',
          );
        }
        checkGradients(gradients, this.#plan.parameters);
        for (const [name, { data }] of Object.entries(gradients)) this.device.write(buffers[name], data);
        return { gradients: Object.keys(gradients), ...(loss !== undefined && { loss }) };
      },
    };
    return this.stepWith(source, options);
  }

  /** Takes one step. @throws whatever the source throws, or AdakitError `non-finite`; nothing has been updated then */
  stepWith(source: GradientSource<B>, options: StepOptions = {}): Promise<StepReport> {
    return this.#enqueue(() => this.#stepWork(source, options));
  }

  /** Like {@link stepWith}, at once, on devices that never have to be waited for. @throws AdakitError `busy` */
  stepNow(source: GradientSource<B>, options: StepOptions = {}): StepReport {
    this.#assertAlive();
    this.#assertIdle();
    return driveNow(this.#stepWork(source, options));
  }

  /** Does `work` in its place among the calls, e.g. to read parameters while no step runs. */
  exclusively<T>(work: (run: Exclusive<B>) => Promise<T>): Promise<T> {
    const inside: Exclusive<B> = {
      weights: async (view = this.defaultView) => drive(this.#weightsWork(view)),
      state: async (read) => drive(this.#stateWork(read)),
      load: async (state) => drive(this.#loadWork(state)),
    };
    return this.#enqueue(() => wait(work(inside)));
  }

  /** Numbers that belong to all parameters together, e.g. the norm that clipping has found in the last step. */
  globals(): Promise<Readonly<Record<string, number>>> {
    return this.#enqueue(() => this.#readGlobals());
  }

  /**
   * The parameters' values.
   *
   * @param view default: {@link defaultView}
   * @throws AdakitError `unknown-view`
   */
  weights(view = this.defaultView): Promise<NamedTensors> {
    return this.#enqueue(() => this.#weightsWork(view));
  }

  state(): Promise<TrainingState> {
    return this.#enqueue(() => this.#stateWork());
  }

  /** Like {@link state}, at once, on devices that never have to be waited for. @throws AdakitError `busy` */
  stateNow(): TrainingState {
    this.#assertAlive();
    this.#assertIdle();
    return driveNow(this.#stateWork());
  }

  load(state: TrainingState): Promise<void> {
    return this.#enqueue(() => this.#loadWork(state));
  }

  /**
   * Starts to train further parameters, from their first update on.
   *
   * @throws AdakitError for a name that is taken, or `busy` while a call has not finished
   */
  add(parameters: Readonly<Record<string, RunParameter<B> | TensorData>>): void {
    this.#assertAlive();
    this.#assertIdle();
    const given = Object.entries(parameters).map(([name, parameter]) => toParameter(name, parameter));
    const taken = given.find(({ spec }) => this.#plan.parameters.some(({ name }) => name === spec.name));
    if (taken) throw new AdakitError('unknown-parameter', `this run has a parameter "${taken.spec.name}" already`);
    const plan = this.#makePlan(this.#optimizer, [...this.#plan.parameters, ...given.map(({ spec }) => spec)]);
    const added = this.#allocate(plan.parameters.slice(this.#records.length), given);
    this.#records.push(...added);
    this.#adopt(plan);
  }

  /** Forgets parameters, and frees what was kept for them. @throws AdakitError `busy` while a call has not finished */
  remove(names: readonly string[]): void {
    this.#assertAlive();
    this.#assertIdle();
    const gone = new Set(names);
    const keep = this.#plan.parameters.map(({ name }) => !gone.has(name));
    this.#records.forEach((record, i) => {
      if (!keep[i]) this.#free(record);
    });
    this.#records = this.#records.filter((_, i) => keep[i]);
    // Groups may now choose nothing, which is no mistake here.
    this.#openGroups = true;
    this.#adopt(
      this.#makePlan(
        this.#optimizer,
        this.#plan.parameters.filter((_, i) => keep[i]),
      ),
    );
  }

  /** Frees what the device holds, after the calls made before. Doing so again is harmless. */
  async dispose(): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    if (this.#waiting > 0) await this.#last;
    for (const record of this.#records) this.#free(record);
    this.device.free([...this.#globals.values(), ...this.#totals.values()]);
    this.#records = [];
    this.#globals.clear();
    this.#totals.clear();
  }

  // --- a step -----------------------------------------------------------------------------------------------------------

  *#stepWork(source: GradientSource<B>, { samples = 1 }: StepOptions): Work<StepReport> {
    if (this.#failure !== undefined) {
      const failure = this.#failure;
      this.#failure = undefined;
      throw failure;
    }
    const plan = this.#plan;
    const before = this.#collected;
    const late: Promise<readonly number[]>[] = [];
    const lossScale = this.lossScale;
    const count = (before?.batches ?? 0) + 1;
    const allSamples = (before?.samples ?? 0) + samples;
    this.#scalars.begin({ step: this.#step + 1, lossScale, samples, allSamples });
    const { batches } = plan;
    const complete = batches === undefined || count >= this.#scalars.value(batches.group, batches.piece, 'every');
    const stages = complete ? [...plan.batchStages, ...plan.stages] : plan.batchStages;

    const evaluated = yield* wait(source.evaluate(this.#context(stages)));
    const { loss } = evaluated;
    const active = this.#active(evaluated);
    if (yield* this.#refused(active, evaluated, late)) return this.#skip(loss);
    // A step of several batches is one for every parameter that had a gradient in any of them.
    const members = before === undefined ? active : this.#withCollected(active, before);
    if (evaluated.whole !== undefined) {
      evaluated.whole.commit();
    } else {
      if (this.#options.reduceGradients) yield* wait(this.#options.reduceGradients(this.buffers.gradients));
      if (complete && plan.perturbStages.length > 0 && !(yield* this.#perturbed(source, active, late))) {
        return this.#skip(loss);
      }
      yield* this.#runStages(plan.batchStages, active);
      if (complete) yield* this.#runStages(plan.stages, members);
    }
    evaluated.accept?.();
    if (late.length > 0) {
      this.#watch(late, {
        number: this.#step + 1,
        names: active.map(({ name }) => name),
        records: this.#recordsOf(members),
        before,
        complete,
        samples,
      });
    }
    if (!complete) {
      const collecting = new Set(members);
      const without = plan.parameters.flatMap((parameter) => (collecting.has(parameter) ? [] : [parameter.name]));
      this.#collected = { batches: count, samples: allSamples, ...(without.length > 0 && { without }) };
      return { step: this.#step, outcome: 'collected', ...(loss !== undefined && { loss }) };
    }
    this.#collected = undefined;
    this.#step++;
    for (const record of this.#recordsOf(members)) record.step++;
    this.#growLossScale();
    if (loss !== undefined) this.#scalars.report('loss', loss);
    return { step: this.#step, outcome: 'taken', ...(loss !== undefined && { loss }) };
  }

  #context(stages: readonly Stage[]): GradientContext<B> {
    const [step, batch] = [this.#step + 1, this.#collected?.batches ?? 0];
    return { ...this.buffers, lossScale: this.lossScale, step, batch, whole: this.#whole(stages) };
  }

  #whole(stages: readonly Stage[]): WholeStep<B> {
    return {
      plan: this.#plan,
      stages,
      perturbs: this.#plan.perturbStages.length > 0,
      kept: this.#records,
      globals: this.#globals,
      scalars: (program, group, parameter) =>
        this.#scalars.of(
          program,
          group,
          parameter === undefined
            ? this.#noParameter()
            : { ...parameter, step: this.#records[parameter.index].step + 1 },
        ),
    };
  }

  /** The parameters that take part, in the plan's order. */
  #active({ gradients }: Evaluated): readonly PlannedParameter[] {
    if (gradients === undefined) return this.#plan.parameters;
    const names = new Set(gradients);
    return this.#plan.parameters.filter(({ name }) => names.has(name));
  }

  /** The parameters that take part, or did in a batch before. */
  #withCollected(active: readonly PlannedParameter[], { without = [] }: CollectedBatches): readonly PlannedParameter[] {
    if (without.length === 0) return this.#plan.parameters;
    return this.#plan.parameters.filter((parameter) => active.includes(parameter) || !without.includes(parameter.name));
  }

  /**
   * Whether the step must be skipped.
   *
   * @param late gets the checks whose outcome is not known yet, and counts as good until then
   * @throws AdakitError `non-finite`
   */
  *#refused(
    active: readonly PlannedParameter[],
    { loss, whole }: Evaluated,
    late: Promise<readonly number[]>[],
  ): Work<boolean> {
    let bad = whole?.nonFinite;
    if (bad === undefined) {
      const check = yield* wait(this.device.nonFinite(this.#gradientsOf(active)));
      if ('later' in check) late.push(check.later);
      bad = 'later' in check ? [] : check.map((i) => active[i].name);
    }
    const lossIsFinite = loss === undefined || Number.isFinite(loss);
    if (bad.length === 0 && lossIsFinite) return false;
    if (this.#skips(lossIsFinite)) return true;
    throw nonFiniteError(bad, loss, this.#step + 1);
  }

  #recordsOf(members: readonly PlannedParameter[]): readonly Kept<B>[] {
    return members.length === this.#records.length ? this.#records : members.map(({ index }) => this.#records[index]);
  }

  #gradientsOf(active: readonly PlannedParameter[]): readonly B[] {
    if (active.length < this.#records.length) return active.map(({ index }) => this.#records[index].grad);
    return (this.#gradients ??= this.#records.map(({ grad }) => grad));
  }

  /** Whether a step that is not finite is passed over without an error. Overflow is what loss scaling looks for. */
  #skips(lossIsFinite = true): boolean {
    return (this.#lossScale !== undefined && lossIsFinite) || (this.#options.nonFinite ?? 'refuse') !== 'refuse';
  }

  /** Takes back a step, all of whose writes were masked, when its check has failed. */
  #watch(late: readonly Promise<readonly number[]>[], step: MaskedStep<B>): void {
    const check = Promise.all(late).then(
      (positions) => {
        const bad = step.names.filter((_, i) => positions.some((list) => list.includes(i)));
        if (bad.length > 0) this.#takeBack(step, bad);
      },
      (error: unknown) => {
        this.#failure = error as Error;
      },
    );
    const known = check.finally(() => this.#checks.delete(known));
    this.#checks.add(known);
  }

  #takeBack({ number, records, before, complete, samples }: MaskedStep<B>, bad: readonly string[]): void {
    if (complete) {
      this.#step--;
      for (const record of records) record.step--;
      this.#collected ??= before;
    } else if (this.#collected !== undefined) {
      const { batches, samples: all, without } = this.#collected;
      const others = { batches: batches - 1, samples: all - samples, ...(without && { without }) };
      this.#collected = batches > 1 ? others : undefined;
    }
    if (this.#skips()) this.#skip(undefined);
    else this.#failure = nonFiniteError(bad, undefined, number);
  }

  #skip(loss: number | undefined): StepReport {
    this.#skipped++;
    const piece = this.#plan.lossScale;
    if (this.#lossScale !== undefined && piece !== undefined) {
      const { backoff } = piece.hyperparameters;
      this.#lossScale = { scale: this.#lossScale.scale * Number(backoff), good: 0 };
    }
    return { step: this.#step, outcome: 'skipped', ...(loss !== undefined && { loss }) };
  }

  #startLossScale(resumed: LossScaleState | undefined): void {
    const piece = this.#plan.lossScale;
    this.#lossScale = piece && (resumed ?? { scale: Number(piece.initial.initialScale), good: 0 });
  }

  #growLossScale(): void {
    const piece = this.#plan.lossScale;
    if (this.#lossScale === undefined || piece === undefined) return;
    const { growth, interval } = piece.hyperparameters;
    const good = this.#lossScale.good + 1;
    this.#lossScale =
      good >= Number(interval)
        ? { scale: this.#lossScale.scale * Number(growth), good: 0 }
        : { scale: this.#lossScale.scale, good };
  }

  /** Gradients at the perturbed point; the parameters are back where they were in any case. */
  *#perturbed(
    source: GradientSource<B>,
    active: readonly PlannedParameter[],
    late: Promise<readonly number[]>[],
  ): Work<boolean> {
    const records = active.map(({ index }) => this.#records[index]);
    active.forEach(({ shape }, i) => {
      records[i].origin ??= this.device.allocate([[elementCount(shape)]])[0][0];
      this.device.copy(records[i].param, records[i].origin);
    });
    try {
      yield* this.#runStages(this.#plan.perturbStages, active);
      const again = yield* wait(source.evaluate(this.#context([])));
      if (yield* this.#refused(active, again, late)) return false;
      if (this.#options.reduceGradients) yield* wait(this.#options.reduceGradients(this.buffers.gradients));
      return true;
    } finally {
      for (const { origin, param } of records) if (origin !== undefined) this.device.copy(origin, param);
    }
  }

  *#runStages(stages: readonly Stage[], active: readonly PlannedParameter[]): Work<void> {
    const all = active.length === this.#plan.parameters.length;
    const chosen = all ? undefined : new Set(active);
    for (const stage of stages) {
      if (stage.kind === 'total') {
        const bound = this.#bind(stage.program, [], 'total');
        yield* wait(bound.run([this.#scalars.of(stage.program, stage.group, this.#noParameter())]));
        continue;
      }
      for (const sum of stage.sums) this.device.write(this.#total(sum), 0);
      for (const name of stage.largest) this.device.write(this.#total(name), -Infinity);
      for (const { program, group, parameters } of stage.calls) {
        const members = chosen === undefined ? parameters : parameters.filter((parameter) => chosen.has(parameter));
        if (members.length === 0) continue;
        const key = all ? '' : members.map(({ index }) => index).join();
        const bound = this.#bind(program, members, `${group.path} ${key}`);
        yield* wait(bound.run(this.#scalarsOf(program, group, members, bound.records)));
      }
    }
  }

  /** For each member. They mostly share them, and then this looks at nothing of a parameter but its number of updates. */
  #scalarsOf(
    program: Program,
    group: PlanGroup,
    members: readonly PlannedParameter[],
    records: readonly Kept<B>[],
  ): Float64Array[] {
    const of = ({ name, shape, extents }: PlannedParameter, { step }: Kept<B>): Float64Array =>
      this.#scalars.of(program, group, { step: step + 1, name, shape, extents });
    const [{ step }] = records;
    const shared = !this.#scalars.differs(program) && records.every((record) => record.step === step);
    if (shared) return new Array<Float64Array>(members.length).fill(of(members[0], records[0]));
    return members.map((member, i) => of(member, records[i]));
  }

  #noParameter(): ScalarsOf {
    return { step: this.#step + 1, name: '', shape: [0], extents: { rows: 0, cols: 0 } };
  }

  #bind(
    program: Program,
    members: readonly PlannedParameter[],
    key: string,
  ): BoundKernel & { readonly records: readonly Kept<B>[] } {
    const id = `${program.hash} ${key}`;
    let bound = this.#bound.get(id);
    if (bound === undefined) {
      const names = bufferNames(program);
      const bindings =
        members.length === 0
          ? [{ buffers: this.#buffersOf(names, undefined), extents: { rows: 1, cols: 1 }, shape: [] }]
          : members.map((parameter): Binding<B> => ({
              buffers: this.#buffersOf(names, this.#records[parameter.index]),
              extents: parameter.extents,
              shape: parameter.shape,
            }));
      const kernel = this.#kernel(program).bind(bindings);
      bound = {
        run: (scalars) => kernel.run(scalars),
        records: members.map(({ index }) => this.#records[index]),
      };
      this.#bound.set(id, bound);
    }
    return bound;
  }

  #kernel(program: Program): Kernel<B> {
    let kernel = this.#kernels.get(program.hash);
    if (kernel === undefined) this.#kernels.set(program.hash, (kernel = this.device.compile(program)));
    return kernel;
  }

  #buffersOf(names: readonly string[], record: Kept<B> | undefined): Record<string, B> {
    return Object.fromEntries(
      names.map((name) => {
        const buffer = this.#buffer(name, record);
        if (buffer === undefined) throw new Error(`nothing is kept under the name "${name}"`);
        return [name, buffer];
      }),
    );
  }

  #buffer(name: string, record: Kept<B> | undefined): B | undefined {
    if (name.startsWith('global.')) return this.#globals.get(name.slice('global.'.length));
    if (name.startsWith('sum.') || name.startsWith('largest.')) return this.#total(name);
    if (name === 'param') return record?.param;
    if (name === 'grad') return record?.grad;
    return record?.slots.get(name.slice('slot.'.length));
  }

  #total(name: string): B {
    let total = this.#totals.get(name);
    if (total === undefined) this.#totals.set(name, (total = this.device.allocate([[1]])[0][0]));
    return total;
  }

  // --- what is kept -----------------------------------------------------------------------------------------------------

  #allocate(
    planned: readonly PlannedParameter[],
    given: readonly { readonly spec: ParameterSpec; readonly parameter: RunParameter<B> }[],
  ): Kept<B>[] {
    const byName = new Map(given.map(({ spec, parameter }) => [spec.name, parameter]));
    const problems = planned.flatMap((parameter) => {
      const kept = byName.get(parameter.name)?.kept;
      return kept === undefined ? [] : keptProblems(parameter, kept, this.#optimizer);
    });
    if (problems.length > 0) {
      throw new AdakitError('state-mismatch', `what was kept does not fit this run:\n  ${problems.join('\n  ')}`);
    }
    const lists = planned.map((parameter) => {
      const size = elementCount(parameter.shape);
      const source = byName.get(parameter.name);
      const own = source !== undefined && 'value' in source ? [size] : [];
      return [...own, size, ...parameter.slots.map((slot) => slotLength(slot, parameter))];
    });
    const buffers = this.device.allocate(lists);
    return planned.map((parameter, i) => {
      const source = byName.get(parameter.name) as RunParameter<B>;
      const list = [...buffers[i]];
      const own = 'value' in source;
      const param = own ? (list.shift() as B) : source.buffer;
      const grad = list.shift() as B;
      if (own) this.device.write(param, source.value.data);
      const slots = new Map(parameter.slots.map(({ name }, k) => [name, list[k]]));
      const record: Kept<B> = { param, own, grad, slots, step: source.kept?.step ?? 0 };
      for (const slot of parameter.slots) {
        if (source.kept === undefined) this.#startSlot(record, slot, parameter);
        else this.device.write(slots.get(slot.name) as B, source.kept.slots[slot.name].data);
      }
      return record;
    });
  }

  #startSlot(
    record: Kept<B>,
    { name, start }: Slot,
    { extents, shape }: ParameterSpec & Pick<PlannedParameter, 'extents'>,
  ): void {
    const buffer = record.slots.get(name) as B;
    if (typeof start === 'number') {
      if (start !== 0) this.device.write(buffer, start);
      return;
    }
    const kernel = this.#kernel(start);
    const bound = kernel.bind([{ buffers: { param: record.param, start: buffer }, extents, shape }]);
    const started = bound.run([evaluateScalars(start, () => NaN)]);
    if (!(started instanceof Promise)) return;
    this.#starting = Promise.all([this.#starting, started]);
    // Whatever waits for it next reports a failure.
    this.#starting.catch(() => undefined);
  }

  #startGlobals(): void {
    for (const { name, start } of this.#plan.globals) {
      if (this.#globals.has(name)) continue;
      const [[buffer]] = this.device.allocate([[1]]);
      this.device.write(buffer, this.#options.resume?.globals?.[name] ?? start);
      this.#globals.set(name, buffer);
    }
  }

  #free({ param, own, grad, slots, origin }: Kept<B>): void {
    this.device.free([...(own ? [param] : []), grad, ...slots.values(), ...(origin === undefined ? [] : [origin])]);
  }

  /** Goes on with a changed optimizer; slots that it adds start at their start, those that it no longer has are freed. */
  #replan(optimizer: Optimizer): void {
    const plan = this.#makePlan(optimizer);
    this.#optimizer = optimizer;
    plan.parameters.forEach((parameter, i) => {
      this.#fitSlots(this.#records[i], parameter);
    });
    this.#adopt(plan);
  }

  /** @param start whether new slots get their start values; a state brings its own */
  #fitSlots(record: Kept<B>, parameter: PlannedParameter, start = true): void {
    const wanted = new Set(parameter.slots.map(({ name }) => name));
    for (const [name, buffer] of record.slots) {
      if (wanted.has(name)) continue;
      this.device.free([buffer]);
      record.slots.delete(name);
    }
    const added = parameter.slots.filter(({ name }) => !record.slots.has(name));
    if (added.length === 0) return;
    const [buffers] = this.device.allocate([added.map((slot) => slotLength(slot, parameter))]);
    added.forEach((slot, i) => {
      record.slots.set(slot.name, buffers[i]);
      if (start) this.#startSlot(record, slot, parameter);
    });
  }

  #makePlan(optimizer: Optimizer, parameters: readonly ParameterSpec[] = this.#plan.parameters): Plan {
    return makePlan(optimizer, parameters, { allowEmptyGroups: this.#openGroups });
  }

  #adopt(plan: Plan): void {
    const scaled = this.#plan.lossScale !== undefined;
    this.#plan = plan;
    this.#scalars = new HostScalars(plan, this.#scalars.plateaus);
    this.#bound = new Map();
    this.#buffers = undefined;
    this.#gradients = undefined;
    this.#startGlobals();
    if (!scaled) this.#startLossScale(this.#options.resume?.lossScale);
  }

  // --- views and states -------------------------------------------------------------------------------------------------

  *#weightsWork(view: string): Work<NamedTensors> {
    if (!this.views.includes(view)) {
      throw new AdakitError(
        'unknown-view',
        `there are no weights "${view}"; this optimizer has ${this.views.join(', ')}`,
      );
    }
    const programs = Object.hasOwn(this.#plan.views, view) ? this.#plan.views[view] : [];
    const reads: [string, readonly number[], MaybePromise<FloatArray>][] = [];
    const scratch: B[] = [];
    this.#scalars.begin({ step: this.#step, lossScale: 1, samples: 1, allSamples: 1 });
    for (const parameter of this.#plan.parameters) {
      const { name, shape, extents, index, group } = parameter;
      const record = this.#records[index];
      const program = programs[index];
      let source = record.param;
      if (program !== undefined && record.step > 0) {
        const [[buffer]] = this.device.allocate([[elementCount(shape)]]);
        scratch.push(buffer);
        source = buffer;
        const buffers = { ...this.#buffersOf(deviceInputs(program), record), view: buffer };
        const bound = this.#kernel(program).bind([{ buffers, extents, shape }]);
        yield* wait(bound.run([this.#scalars.of(program, group, { step: record.step, name, shape, extents })]));
      }
      reads.push([name, shape, this.device.read(source)]);
    }
    const result: Record<string, TensorData> = {};
    for (const [name, shape, reading] of reads) result[name] = tensorOf(yield* wait(reading), shape);
    this.device.free(scratch);
    return result;
  }

  *#readGlobals(): Work<Readonly<Record<string, number>>> {
    const readings = this.#plan.globals.map(
      ({ name }) => [name, this.device.read(this.#globals.get(name) as B)] as const,
    );
    const result: Record<string, number> = {};
    for (const [name, reading] of readings) result[name] = (yield* wait(reading))[0];
    return result;
  }

  *#stateWork(read = (buffer: B): MaybePromise<FloatArray> => this.device.read(buffer)): Work<TrainingState> {
    while (this.#checks.size > 0) yield* wait(Promise.all(this.#checks));
    // Counts are taken and all reads started before the first read ends: a step taken meanwhile does not show.
    const readings = this.#plan.parameters.map((parameter) => {
      const record = this.#records[parameter.index];
      return {
        parameter,
        step: record.step,
        value: read(record.param),
        slots: parameter.slots.map((slot) => [slot, read(record.slots.get(slot.name) as B)] as const),
      };
    });
    const optimizer = this.#optimizer.toConfig(this.#plan.parameters);
    const rest = {
      step: this.#step,
      ...(this.#collected && { collected: this.#collected }),
      ...(this.#lossScale && { lossScale: this.#lossScale }),
      ...(this.#skipped > 0 && { skipped: this.#skipped }),
      ...(this.#scalars.plateaus.size > 0 && { plateaus: Object.fromEntries(this.#scalars.plateaus) }),
    };
    const reading = this.#plan.globals.length === 0 ? undefined : this.#readGlobals();
    const globals = reading === undefined ? undefined : yield* reading;
    const parameters: Record<string, ParameterState> = {};
    for (const { parameter, step, value, slots } of readings) {
      const kept = new Map<string, FloatArray>();
      for (const [slot, reading] of slots) kept.set(slot.name, yield* wait(reading));
      parameters[parameter.name] = parameterState(parameter, { value: yield* wait(value), step, slots: kept });
    }
    return { optimizer, ...rest, ...(globals && { globals }), parameters, origin: this.device.name };
  }

  *#loadWork(state: TrainingState): Work<void> {
    // What reads states is fetched with the first: a page that trains from the start needs none of it.
    const { checkState } = yield* wait(import('./check-state.js'));
    const { optimizer, plan } = checkState(state, this.#optimizer, this.#plan.parameters);
    this.#optimizer = optimizer;
    // A state's groups may choose parameters that have been removed.
    this.#openGroups = true;
    plan.parameters.forEach((parameter, i) => {
      const record = this.#records[i];
      this.#fitSlots(record, parameter, false);
      const { value, step, slots } = state.parameters[parameter.name];
      this.device.write(record.param, value.data);
      for (const [name, tensor] of Object.entries(slots)) this.device.write(record.slots.get(name) as B, tensor.data);
      record.step = step;
    });
    this.#adopt(plan);
    for (const { name, start } of plan.globals) {
      this.device.write(this.#globals.get(name) as B, state.globals?.[name] ?? start);
    }
    this.#resume(state);
  }

  #resume(state: OverallState): void {
    this.#scalars = new HostScalars(this.#plan, new Map(Object.entries(state.plateaus ?? {})));
    this.#step = state.step;
    this.#collected = state.collected;
    this.#skipped = state.skipped ?? 0;
    this.#startLossScale(state.lossScale);
  }

  // --- the order of calls -----------------------------------------------------------------------------------------------

  /**
   * Starts at once where nothing is waiting, so that devices which answer at once have done it when this returns, and
   * nothing waits for it.
   */
  #enqueue<T>(work: () => Work<T>): Promise<T> {
    if (this.#disposed) return Promise.reject(this.#disposedError());
    const start = async (): Promise<T> => drive(this.#started(work));
    let result: Promise<T>;
    if (this.#waiting > 0) result = this.#last.then(start);
    else {
      let answer: MaybePromise<T>;
      try {
        answer = drive(this.#started(work));
      } catch (error) {
        return Promise.reject(error instanceof Error ? error : new Error(String(error)));
      }
      if (!(answer instanceof Promise)) return Promise.resolve(answer);
      result = answer;
    }
    this.#waiting++;
    this.#last = result.then(
      () => this.#waiting--,
      () => this.#waiting--,
    );
    return result;
  }

  /** The work, once all start values are there. */
  *#started<T>(work: () => Work<T>): Work<T> {
    const starting = this.#starting;
    this.#starting = undefined;
    if (starting !== undefined) yield* wait(starting);
    return yield* work();
  }

  #assertAlive(): void {
    if (this.#disposed) throw this.#disposedError();
  }

  #assertIdle(): void {
    if (this.#waiting > 0) throw new AdakitError('busy', 'an earlier call has not finished; await it first');
  }

  #disposedError(): AdakitError {
    return new AdakitError(
      'disposed',
      `this ${this.#optimizer.name} run on ${this.device.name} has been disposed; start another`,
    );
  }
}

function nonFiniteError(bad: readonly string[], loss: number | undefined, step: number): AdakitError {
  const names = bad.map((name) => `"${name}"`);
  const more = names.length > 5 ? ` and ${names.length - 5} more` : '';
  const what = [
    ...(loss === undefined || Number.isFinite(loss) ? [] : [`the loss is ${String(loss)}`]),
    ...(names.length === 0 ? [] : [`the gradients of ${names.slice(0, 5).join(', ')}${more} are not finite`]),
  ];
  return new AdakitError(
    'non-finite',
    `${what.join(', and ')} at step ${step}; nothing has been updated. ` +
      'Look for non-finite inputs, lower the learning rate, clip gradients, or go back to an earlier state',
  );
}

function toParameter<B>(
  name: string,
  parameter: RunParameter<B> | TensorData,
): { readonly spec: ParameterSpec; readonly parameter: RunParameter<B> } {
  const given: RunParameter<B> = 'data' in parameter ? { value: parameter } : parameter;
  const { role, units } = given;
  const { shape } = 'value' in given ? given.value : given;
  if ('value' in given && given.value.data.length !== elementCount(shape)) {
    throw new AdakitError(
      'invalid-state',
      `the parameter "${name}" has shape [${shape.join(', ')}] but ${given.value.data.length} elements`,
    );
  }
  return { spec: { name, shape, ...(role && { role }), ...(units && { units }) }, parameter: given };
}

function slotLength(slot: Slot, { shape, units }: ParameterSpec): number {
  return elementCount(concreteShape(slot.shape, shape, matrixExtents(shape, units)));
}

/**
 * Checks gradients against the parameters of a run, before anything is updated.
 *
 * @throws AdakitError for a gradient of an unknown parameter or of another shape, or whose elements do not fill its shape
 */
function checkGradients(gradients: NamedTensors, parameters: readonly ParameterSpec[]): void {
  const shapes = new Map(parameters.map(({ name, shape }) => [name, shape]));
  for (const [name, { shape, data }] of Object.entries(gradients)) {
    const expected = shapes.get(name);
    if (expected === undefined) {
      const names = [...shapes.keys()].map((known) => `"${known}"`).join(', ');
      throw new AdakitError('unknown-parameter', `gradient for "${name}", but the run has ${names || 'no parameters'}`);
    }
    if (!sameShape(shape, expected)) {
      throw new AdakitError(
        'invalid-gradient',
        `the gradient of "${name}" has shape [${shape.join(', ')}], the parameter has [${expected.join(', ')}]`,
      );
    }
    if (data.length !== elementCount(shape)) {
      throw new AdakitError(
        'invalid-gradient',
        `the gradient of "${name}" has shape [${shape.join(', ')}] but ${data.length} elements`,
      );
    }
  }
}
