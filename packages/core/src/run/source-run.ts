import type { Device } from '../device/device.js';
import { AdakitError } from '../errors.js';
import type { HyperparameterValues } from '../optimizer/hyperparameters.js';
import type { ParameterSpec } from '../optimizer/match.js';
import type { ChangeScope, Optimizer } from '../optimizer/optimizer.js';
import type { NamedTensors, TensorData } from '../tensor/tensor-data.js';
import { driveNow } from './drive.js';
import { wait, type Work } from './work.js';
import type { RunParameter } from './memory.js';
import { Queue } from './queue.js';
import { takeSnapshot } from './snapshot.js';
import { plainStep, Steps } from './step.js';
import type { GradientSource, RunOptions, StepOptions, StepReport } from './step-types.js';
import type { runStates } from './states.js';
import type { Training } from './training.js';
import type { TrainingState } from './training-state.js';

/** Fetches what reads states; a runner has it in the file that it fetches for states of its own. */
export type StatesLoader = () => Promise<typeof runStates>;

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

/**
 * What every run can do: steps whose gradients a source on the same device gives at once, weights and states. {@link Run}
 * adds gradients from elsewhere and work between the steps.
 *
 * Calls are carried out one after the other, in the order made, changes of hyperparameters included.
 */
export class SourceRun<B> implements Stateful {
  readonly device: Device<B>;
  /** Where training is; changes of hyperparameters that wait in the queue are not in it. */
  protected readonly training: Steps<B>;
  readonly #states: StatesLoader;
  readonly #queue = new Queue();
  /** Changes of hyperparameters that wait in the queue. */
  #changes: readonly { readonly values: HyperparameterValues; readonly scope: ChangeScope | undefined }[] = [];
  #disposed = false;

  /** As {@link SourceRun.start}. */
  protected constructor(
    device: Device<B>,
    optimizer: Optimizer,
    parameters: Readonly<Record<string, RunParameter<B> | TensorData>>,
    options: RunOptions<B>,
    states: StatesLoader,
  ) {
    this.device = device;
    this.#states = states;
    const training = new Steps(device, optimizer, options);
    this.training = training;
    if (options.nonFinite === 'scaleBack' && training.plan.lossScale === undefined) {
      throw new AdakitError('invalid-plan', "nonFinite: 'scaleBack' needs lossScaling() around the optimizer");
    }
    addParameters(training, parameters);
    if (options.resume) training.resume(options.resume);
  }

  /**
   * Starts a run.
   *
   * @param parameters by name; copied
   * @param states `async () => (await import('@adakit/core/states')).runStates`, or by way of a file of one's own
   * @throws AdakitError `unknown-parameter` for a group that chooses none of them, `invalid-plan`, `invalid-rule`
   */
  static start<B>(
    device: Device<B>,
    optimizer: Optimizer,
    parameters: Readonly<Record<string, RunParameter<B> | TensorData>>,
    options: RunOptions<B>,
    states: StatesLoader,
  ): SourceRun<B> {
    return new SourceRun(device, optimizer, parameters, options, states);
  }

  /** The optimizer with its current hyperparameters, changes that wait in the queue included. */
  get optimizer(): Optimizer {
    return this.#changes.reduce(
      (optimizer, { values, scope }) => optimizer.with(values, scope),
      this.training.optimizer,
    );
  }

  /** Steps taken so far. */
  get step(): number {
    return this.training.step;
  }

  /** Steps that were skipped because something was not finite. */
  get skipped(): number {
    return this.training.skipped;
  }

  get parameters(): readonly ParameterSpec[] {
    return this.training.plan.parameters;
  }

  get lossScale(): number {
    return this.training.lossScale?.scale ?? 1;
  }

  /** Names of the weights that can be asked for: `trained`, and what pieces of the optimizer keep beside. */
  get views(): readonly string[] {
    return ['trained', ...this.training.plan.views];
  }

  /**
   * Changes hyperparameters from the next step on that is asked for after this call. A wrapper's are named with it:
   * `{ 'ema.decay': 0.99 }`.
   *
   * @throws AdakitError naming the hyperparameter that is unknown or out of range, or the group that does not exist
   */
  setHyperparameters(changes: HyperparameterValues, scope?: ChangeScope): void {
    this.assertAlive();
    const { training } = this;
    training.makePlan(this.optimizer.with(changes, scope));
    const change = { values: changes, scope };
    this.#changes = [...this.#changes, change];
    const changed = this.enqueue((training) => {
      this.#changes = this.#changes.filter((other) => other !== change);
      training.replan(training.optimizer.with(changes, scope));
      return wait(undefined);
    });
    // It was right when it was asked for; a state loaded since may have no place for it.
    changed.catch((error: unknown) => {
      training.failure = error as Error;
    });
  }

  /** Tells schedules on plateaus how training goes, e.g. a validation loss after every epoch. */
  reportMetric(metric: number): void {
    this.assertAlive();
    void this.enqueue(({ scalars }) => {
      scalars.report('metric', metric);
      return wait(undefined);
    });
  }

  /**
   * Takes one step at once, on devices that never have to be waited for.
   *
   * @throws AdakitError `busy` while a call has not finished, `non-finite`, or whatever the source throws; nothing has been
   * updated then
   */
  stepNow(source: GradientSource<B>, options: StepOptions = {}): StepReport {
    this.assertIdle();
    return driveNow(takeStep(this.training, source, options));
  }

  /** Numbers that belong to all parameters together, e.g. the norm that clipping has found in the last step. */
  globals(): Promise<Readonly<Record<string, number>>> {
    return this.enqueue((training) => training.plan.phases?.globals(training) ?? wait({}));
  }

  /**
   * The parameters' values.
   *
   * @throws AdakitError `unknown-view`
   */
  weights(view: string): Promise<NamedTensors> {
    const states = this.#states;
    return this.enqueue(function* (training) {
      const { weightsOf } = yield* wait(states());
      return yield* weightsOf(training, view);
    });
  }

  /**
   * Hyperparameters as the next step has them, with what schedules make of them: `lr`, and `ema.decay` of a wrapper.
   *
   * @param group name of a group. Default: what parameters have that no group chooses, or would have
   * @throws AdakitError `unknown-parameter` for a group that there is not
   */
  async hyperparameters(group?: string): Promise<HyperparameterValues> {
    const moment = await this.enqueue(({ plan, scalars, step }) =>
      wait({ plan, plateaus: new Map(scalars.plateaus), step }),
    );
    const { hyperparametersNow } = await this.#states();
    return hyperparametersNow(moment, group);
  }

  async state(): Promise<TrainingState> {
    const snapshot = await this.enqueue((training) => takeSnapshot(training));
    const { stateOf } = await this.#states();
    return stateOf(snapshot);
  }

  load(state: TrainingState): Promise<void> {
    return this.enqueue((training) => this.loading(training, state));
  }

  /**
   * Starts to train further parameters, from their first update on.
   *
   * @throws AdakitError for a name that is taken, or `busy` while a call has not finished
   */
  add(parameters: Readonly<Record<string, RunParameter<B> | TensorData>>): void {
    this.assertIdle();
    addParameters(this.training, parameters);
  }

  /** Forgets parameters, and frees what was kept for them. @throws AdakitError `busy` while a call has not finished */
  remove(names: readonly string[]): void {
    this.assertIdle();
    const { training } = this;
    const { memory, plan } = training;
    const gone = new Set(names);
    const goes = plan.parameters.map(({ name }) => gone.has(name));
    memory.remove(goes);
    // Groups may now choose nothing, which is no mistake here.
    training.openGroups = true;
    training.adopt(training.makePlan(training.optimizer, plan.parameters.filter((_, i) => !goes[i]))); // prettier-ignore
  }

  /** Frees what the device holds, after the calls made before. Doing so again is harmless. */
  async dispose(): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    if (this.#queue.busy) await this.#queue.end;
    this.training.memory.dispose();
  }

  /** Does work in its place among the calls. @throws AdakitError `disposed` */
  protected enqueue<T>(work: (training: Steps<B>) => Work<T>): Promise<T> {
    if (this.#disposed) return Promise.reject(this.#disposedError());
    return this.#queue.add(() => started(this.training, work));
  }

  protected *loading(training: Training<B>, state: TrainingState): Work<void> {
    const { loadState } = yield* wait(this.#states());
    yield* loadState(training, state);
  }

  /** @throws AdakitError `disposed` */
  assertAlive(): void {
    if (this.#disposed) throw this.#disposedError();
  }

  /** @throws AdakitError `disposed`, or `busy` while a call has not finished */
  protected assertIdle(): void {
    this.assertAlive();
    if (this.#queue.busy) throw new AdakitError('busy', 'an earlier call has not finished; await it first');
  }

  #disposedError(): AdakitError {
    return new AdakitError(
      'disposed',
      `this run of ${this.training.optimizer.name} on ${this.device.name} has been disposed; make another`,
    );
  }
}

/** The work, once all start values are there. */
function* started<B, T>(training: Steps<B>, work: (training: Steps<B>) => Work<T>): Work<T> {
  const { starting } = training.memory;
  training.memory.starting = undefined;
  if (starting !== undefined) yield* wait(starting);
  return yield* work(training);
}

/** Takes one step, unless there is something to report of the one before. */
export function* takeStep<B>(training: Steps<B>, source: GradientSource<B>, options: StepOptions): Work<StepReport> {
  const { failure, plan } = training;
  training.failure = undefined;
  if (failure !== undefined) throw failure;
  return yield* (plan.phases?.step ?? plainStep)(training, source, options);
}

/** @throws AdakitError for a name that is taken */
function addParameters<B>(
  training: Training<B>,
  parameters: Readonly<Record<string, RunParameter<B> | TensorData>>,
): void {
  const before = training.plan.parameters;
  const given = Object.entries(parameters).map(givenParameter<B>);
  const taken = before.find(({ name }) => Object.hasOwn(parameters, name));
  if (taken) throw new AdakitError('unknown-parameter', `this run has a parameter "${taken.name}" already`);
  const plan = training.makePlan(training.optimizer, [...before, ...given.map(({ spec }) => spec)]);
  training.memory.add(plan.parameters.slice(before.length), given.map(({ parameter }) => parameter), plan.optimizer); // prettier-ignore
  const { collected } = training;
  // They had no gradient in the batches before.
  if (collected) training.collected = { ...collected, without: [...(collected.without ?? []), ...Object.keys(parameters)] }; // prettier-ignore
  training.adopt(plan);
}

function givenParameter<B>([name, given]: [string, RunParameter<B> | TensorData]): {
  readonly spec: ParameterSpec;
  readonly parameter: RunParameter<B>;
} {
  const parameter: RunParameter<B> = 'data' in given ? { value: given } : given;
  const { role, units } = parameter;
  const { shape } = 'value' in parameter ? parameter.value : parameter;
  return { spec: { name, shape, ...(role && { role }), ...(units && { units }) }, parameter };
}
