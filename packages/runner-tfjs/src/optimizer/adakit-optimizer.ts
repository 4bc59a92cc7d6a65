import {
  AdakitError,
  requireOptimizer,
  SourceRun,
  type ChangeScope,
  type Evaluated,
  type NonFinitePolicy,
  type Optimizer,
  type OverallState,
  type Stateful,
  type StepReport,
  type TrainingState,
} from '@adakit/core';
import * as tf from '@tensorflow/tfjs-core';
import type { serialization, NamedTensorMap, Scalar, Tensor, TensorContainer, Variable } from '@tensorflow/tfjs-core';
import type { Cell } from '../device/cell.js';
import { TfjsDevice, type TfjsDeviceOptions } from '../device/device.js';
import type { NamedTensor, SavedSlots } from './saved-weights.js';
import { toConfig } from './to-config.js';
import { Statistics, takeSnapshot } from './statistics.js';
import { gradientEntries, type GradientEntry, type Gradients } from './gradients.js';
import { baseName, isAlive, parameterOf, registeredVariables, runParameters, type Variables } from './variables.js';

/** What states, saved weights and other views need: fetched with the first. */
const states = () => import('./states.js');

/** Options of {@link tfjsOptimizer}. */
export interface TfjsOptimizerOptions extends TfjsDeviceOptions {
  /**
   * What to do when gradients, or the loss that `minimize` and `fit` compute, are not finite. Default: `refuse`, an error;
   * nothing has changed then. `webgpu` knows after the step only: the step changes nothing, and the next one reports it.
   */
  readonly nonFinite?: NonFinitePolicy;
}

/** What JavaScript may give. */
const OPTIONS = ['nonFinite: refuse', 'nonFinite: skip', 'nonFinite: scaleBack', 'fused: true', 'fused: false'];

/** A loss with its gradients, which the caller disposes. */
interface Computed {
  readonly value: Scalar;
  readonly grads: NamedTensorMap;
}

/**
 * An adakit optimizer as an optimizer of TensorFlow.js, on any of its backends.
 *
 * - Slots belong to variables: the list of variables may change from step to step, and each counts its own steps.
 * - Gradients are only read, and never disposed.
 * - Slots are made when a variable has its first gradient, and held until {@link dispose}; a step leaves no other
 *   tensors behind. When a variable is disposed, its slots go with the next step.
 * - A step that is refused has changed nothing, the moving averages of batch normalizations included where the optimizer
 *   evaluates the loss itself (`minimize`, `fit`).
 *
 * Made by {@link tfjsOptimizer}.
 */
export class AdakitOptimizer extends tf.Optimizer implements Stateful {
  /**
   * Makes of a loss the one whose gradient is the optimizer's estimate at a step, for those that take one in (`sophia`). Set by
   * `drawnLabels()` of `@adakit/runner-tfjs/estimate`.
   */
  estimator: ((loss: () => Scalar, step: number) => () => Scalar) | undefined;

  /** Part of saved models. TensorFlow.js shows it where it does not know the class, so it says what to do. */
  static get className(): string {
    return 'Adakit, by registerOptimizers() of @adakit/runner-tfjs/register';
  }

  readonly #nonFinite: NonFinitePolicy;
  readonly #device: TfjsDevice;
  #run: SourceRun<Cell>;
  /** The variables trained, with the names by which groups and states know them. A continued variable keeps its old one. */
  #names = new Map<Variable, string>();
  /** From {@link setWeights}, until the variables turn up that they belong to. */
  #saved: SavedSlots | undefined;
  readonly #statistics = new Statistics();
  /** Handed out by {@link getWeights}. */
  #weights: readonly NamedTensor[] = [];
  /** Whether groups have been looked for among the variables. */
  #groupsChecked = false;
  /** The call during which the variables do not hold what is trained, or it is about to be replaced. */
  #busyWith: string | undefined;

  constructor(optimizer: Optimizer, options: TfjsOptimizerOptions = {}) {
    super();
    for (const [key, value] of Object.entries(
      Object(options) !== options || Array.isArray(options) ? { options } : options,
    )) {
      // A tensor would be all of its numbers.
      const given = `${key}: ${Object(value) === value ? 'an object' : String(value)}`;
      if (value === undefined || OPTIONS.includes(given)) continue;
      throw new AdakitError('invalid-plan', `tfjsOptimizer() takes ${OPTIONS.join(', ')}; got ${given}`);
    }
    this.#nonFinite = options.nonFinite ?? 'refuse';
    this.#device = new TfjsDevice(options);
    this.#run = this.#start(requireOptimizer('tfjsOptimizer()', optimizer));
  }

  /** The optimizer with its current hyperparameters. */
  get optimizer(): Optimizer {
    return this.#run.optimizer;
  }

  /** Steps taken. */
  override get iterations(): number {
    return this.#run.step;
  }

  /** Steps skipped because something was not finite. */
  get skipped(): number {
    return this.#run.skipped;
  }

  /** {@link iterations} as a weight, under the name that TensorFlow.js gives it. */
  override saveIterations(): Promise<NamedTensor> {
    this.iterations_ = this.iterations;
    return super.saveIterations();
  }

  /** What the loss is multiplied by in {@link computeGradients}. */
  get lossScale(): number {
    return this.#run.lossScale;
  }

  /** Names of the weights that {@link withWeights} knows. */
  get views(): readonly string[] {
    return this.#run.views;
  }

  /** The hyperparameter `lr`, before schedules; assigning to it is `setHyperparameters({ lr })`. */
  get learningRate(): number {
    return Number(this.optimizer.hyperparameters.lr);
  }

  set learningRate(lr: number) {
    this.setHyperparameters({ lr });
  }

  /**
   * Changes hyperparameters from the next step on: `setHyperparameters({ lr: 1e-4 })`.
   *
   * @throws AdakitError naming the hyperparameter that is unknown or out of range, or the group that does not exist
   */
  setHyperparameters(changes: Parameters<SourceRun<Cell>['setHyperparameters']>[0], scope?: ChangeScope): void {
    this.#run.setHyperparameters(changes, scope);
  }

  /**
   * Hyperparameters as the next step has them, with what schedules make of them: `lr`, and `ema.decay` of a wrapper.
   *
   * @param group name of a group, which is known once it has chosen variables: with the first step. Default: what variables
   * have that no group chooses, before the first step without wrappers
   * @throws AdakitError `unknown-parameter` for a group that there is not
   */
  hyperparameters(group?: string): ReturnType<SourceRun<Cell>['hyperparameters']> {
    return this.#run.hyperparameters(group);
  }

  /** Tells schedules on plateaus how training goes, e.g. a validation loss after every epoch. */
  reportMetric(metric: number): void {
    this.#run.reportMetric(metric);
  }

  /** Numbers that belong to all parameters together, e.g. the norm that clipping has found in the last step. */
  globals(): Promise<Readonly<Record<string, number>>> {
    return this.#run.globals();
  }

  /** The loss, and the gradients of the loss times {@link lossScale}, as {@link applyGradients} wants them. */
  override computeGradients(f: () => Scalar, varList?: Variable[]): Computed {
    this.#run.assertAlive();
    const { lossScale } = this;
    // The gradient alone is multiplied: the loss itself might overflow, and would round.
    const scaled = tf.customGrad<Scalar>((loss) => ({
      value: tf.clone(loss as Scalar),
      gradFunc: (dy: Tensor) => tf.mul(dy, lossScale),
    }));
    return this.#statistics.observe(() => super.computeGradients(lossScale === 1 ? f : () => scaled(f()), varList));
  }

  /**
   * Takes one step down the gradient of `f`, which optimizers like SAM evaluate twice.
   *
   * @throws AdakitError `non-finite`; nothing has changed then
   */
  override minimize(f: () => Scalar, returnCost?: boolean, varList?: Variable[]): Scalar | null {
    this.#assertTraining();
    const before = takeSnapshot();
    let computed: Computed | undefined;
    let outcome: StepReport['outcome'] = 'skipped';
    let cost: Scalar | null = null;
    try {
      computed = this.computeGradients(f, varList);
      const { value, grads } = computed;
      const loss = this.#device.answersAtOnce ? value.dataSync()[0] : undefined;
      const again = (estimate?: number): Computed =>
        this.#computeAgain((estimate === undefined ? undefined : this.estimator?.(f, estimate)) ?? f, varList);
      ({ outcome } = this.#apply(inOrder(grads, varList), { loss, again }));
      if (returnCost) cost = value;
    } finally {
      // Moving averages that the loss function has updated belong to the step.
      if (outcome === 'skipped') before.restore();
      before.dispose();
      if (computed !== undefined) tf.dispose(computed.grads);
      if (cost === null) computed?.value.dispose();
    }
    return cost;
  }

  /**
   * Takes one step.
   *
   * @throws AdakitError for a gradient without a variable, of another shape or dtype, or given twice, and `non-finite`;
   * nothing has been updated then
   */
  override applyGradients(gradients: Gradients): void {
    this.#assertTraining();
    this.#apply(gradients, {});
  }

  /**
   * Does `work` while the variables hold other weights than those being trained, e.g.
   * `withWeights('averaged', () => model.evaluate(x, y))`; afterwards they are what they were. Evaluate, predict or save in
   * it; to train is an error.
   *
   * @param view `trained`, or what the optimizer keeps beside, e.g. `averaged` by `ema()`
   * @throws AdakitError `unknown-view`
   */
  async withWeights<T>(view: string, work: () => T | Promise<T>): Promise<T> {
    this.#assertTraining();
    this.#saved?.assertMet();
    return this.#withoutTraining(`withWeights('${view}')`, async () => {
      const { whileHolding } = await states();
      return whileHolding(this.#run, view, this.#names, work);
    });
  }

  /**
   * Copies everything that training needs to go on: the variables updated so far, by name, with their slots and step
   * counts, hyperparameters, and the variables that evaluating the loss has changed (moving mean and variance of batch
   * normalizations) as `statistics`. The state is that of the moment of the call. It has the seed of a state that was loaded.
   */
  async state(): Promise<TrainingState> {
    this.#assertTraining();
    this.#saved?.assertMet();
    this.#forgetDisposed();
    const taking = this.#run.state();
    const { others } = this.#statistics;
    const readings = this.#statistics.read(this.#device);
    const { completeState } = await states();
    return completeState(await taking, others, readings);
  }

  /**
   * Replaces the values of variables, their slots and step counts, statistics, and the hyperparameters by those of
   * `state`; also before the first step. What it says of the data is the caller's to read, and to put into later states.
   *
   * @param variables those that the state is for, or a layers model: found by name, also where TensorFlow.js has numbered
   * the names (`kernel_1`). Default: the variables updated so far, and any others that TensorFlow.js knows by the names in
   * the state. Where several models are alive, give the variables.
   * @throws AdakitError listing all that does not fit; nothing has changed then
   */
  load(state: TrainingState, variables?: Variables): Promise<void> {
    return this.#withoutTraining('load()', async () => {
      const { loadState } = await states();
      this.#forgetDisposed();
      const next = this.#start(this.optimizer);
      const known = { run: this.#run, names: this.#names, statistics: this.#statistics };
      await loadState(next, state, variables, known, (names) => {
        this.#replaceRun(next, names);
      });
    });
  }

  /**
   * The optimizer's weights: `iterations`, `<variable>/<slot>`, and `<variable>/iterations` where a variable has had
   * another number of updates. The tensors stay the optimizer's and hold until its next step.
   */
  override async getWeights(): Promise<NamedTensor[]> {
    this.#run.assertAlive();
    this.#forgetDisposed();
    const taking = this.#run.state();
    const { nameWeights } = await states();
    const state = await taking;
    this.#disposeWeights();
    this.#weights = nameWeights(state, this.#saved);
    return [...this.#weights];
  }

  /**
   * Replaces steps and slots. Which variables the slots belong to shows at the next step: the same name, the same name
   * up to a number at the end (`kernel` reloaded as `kernel_1`), or, if no name fits at all, the same shapes in the same
   * order. Anything else is an error of that step.
   *
   * @param weights as from {@link getWeights}, in any order; copied
   * @throws AdakitError when they are not this optimizer's; nothing has changed then
   */
  override setWeights(weights: NamedTensor[]): Promise<void> {
    return this.#withoutTraining('setWeights()', async () => {
      const { readWeights } = await states();
      const { overall, slots } = await readWeights(weights, this.optimizer);
      this.#run.assertAlive();
      this.#replaceRun(this.#start(this.optimizer, overall), new Map());
      this.#saved = slots;
    });
  }

  /** Does `work`, during which there is no training: a step taken meanwhile would be lost, or of other weights. */
  async #withoutTraining<T>(call: string, work: () => Promise<T>): Promise<T> {
    this.#assertTraining();
    this.#busyWith = call;
    try {
      return await work();
    } finally {
      this.#busyWith = undefined;
    }
  }

  override getConfig(): serialization.ConfigDict {
    return toConfig(this.optimizer, this.#run.parameters, this.#nonFinite);
  }

  /** Frees slots and cached tensors. Doing so again is harmless; anything else is an error afterwards. */
  override dispose(): void {
    void this.#run.dispose();
    this.#disposeWeights();
    this.#saved = undefined;
    this.#names.clear();
  }

  #start(optimizer: Optimizer, resume?: OverallState): SourceRun<Cell> {
    const options = { openGroups: true, nonFinite: this.#nonFinite, resume };
    return SourceRun.start(this.#device, optimizer, {}, options, async () => (await states()).runStates);
  }

  #replaceRun(next: SourceRun<Cell>, names: Map<Variable, string>): void {
    void this.#run.dispose();
    this.#run = next;
    this.#names = names;
    this.#saved = undefined;
    this.#disposeWeights();
  }

  /**
   * One step, with gradients that have been computed.
   *
   * @param again evaluates a second time; the step's number for an estimate of the curvature
   */
  #apply(
    gradients: Gradients,
    { loss, again }: { readonly loss?: number | undefined; readonly again?: (estimate?: number) => Computed },
  ): StepReport {
    const entries = gradientEntries(gradients);
    this.#forgetDisposed();
    const added = this.#addVariables(entries.map(({ variable }) => variable));
    const lent = new Set<Cell>();
    const owned: TensorContainer[] = [];
    let evaluations = 0;
    const lend = (buffers: Readonly<Record<string, Cell>>, list: readonly GradientEntry[]): string[] =>
      list.map(({ variable, tensor }) => {
        const name = this.#names.get(variable) ?? variable.name;
        buffers[name].lend(tensor);
        lent.add(buffers[name]);
        return name;
      });
    const second = (buffers: Readonly<Record<string, Cell>>, estimate?: number): Evaluated => {
      const computed = (again as (estimate?: number) => Computed)(estimate);
      owned.push([computed.value, computed.grads]);
      return { gradients: lend(buffers, gradientEntries(computed.grads)) };
    };
    try {
      const report = this.#run.stepNow({
        ...(again && this.estimator && { estimate: ({ gradients: buffers, step }) => second(buffers, step) }),
        evaluate: ({ gradients: buffers, whole }) => {
          if (evaluations++ === 0) {
            if (whole.perturbs && again === undefined) {
              throw new AdakitError(
                'invalid-plan',
                'this optimizer evaluates the loss twice a step; use minimize() or fit()',
              );
            }
            return { gradients: lend(buffers, entries), loss };
          }
          return second(buffers);
        },
      });
      this.#disposeWeights();
      this.#saved = this.#saved?.without(added);
      return report;
    } catch (error) {
      this.#removeParameters(added);
      throw error;
    } finally {
      for (const cell of lent) cell.dispose();
      tf.dispose(owned);
    }
  }

  /** Evaluates a second time in a step, of which nothing but the gradients may be seen. */
  #computeAgain(f: () => Scalar, varList: Variable[] | undefined): Computed {
    const before = takeSnapshot();
    try {
      const { numTensors } = tf.memory();
      const computed = this.computeGradients(f, varList);
      const expected = 1 + Object.values(computed.grads).filter(Boolean).length;
      if (tf.memory().numTensors - numTensors > expected) {
        tf.dispose([computed.value, computed.grads]);
        throw new AdakitError(
          'invalid-plan',
          'this optimizer evaluates the loss twice a step, but the loss keeps tensors; compile the model without metrics',
        );
      }
      return computed;
    } finally {
      before.restore();
      before.dispose();
    }
  }

  /** Takes up variables that have their first gradient. @returns their names */
  #addVariables(variables: readonly Variable[]): readonly string[] {
    const fresh = variables.filter((variable) => !this.#names.has(variable));
    if (fresh.length === 0) return [];
    const records = this.#saved?.of(fresh, this.optimizer);
    const names = new Map(fresh.map((variable) => [variable, records?.get(variable)?.name ?? variable.name]));
    this.#checkGroups(names);
    this.#run.add(runParameters(names, records));
    for (const [variable, name] of names) this.#names.set(variable, name);
    return [...names.values()];
  }

  /** Once: groups that choose none of all variables there are to train are a slip. */
  #checkGroups(names: ReadonlyMap<Variable, string>): void {
    if (this.#groupsChecked) return;
    const bases = new Set([...names.values()].map(baseName));
    const others = Object.values(registeredVariables()).filter(
      // Not the namesakes in another model of what is trained: TensorFlow.js numbers the names of the second.
      (variable) => variable.trainable && !names.has(variable) && !bases.has(baseName(variable.name)),
    );
    const specs = [...names].map(([variable, name]) => parameterOf(variable, name));
    this.optimizer.node.checkGroups([...specs, ...others.map((variable) => parameterOf(variable, variable.name))]);
    this.#groupsChecked = true;
  }

  #removeParameters(names: readonly string[]): void {
    if (names.length === 0) return;
    this.#run.remove(names);
    for (const [variable, name] of this.#names) if (names.includes(name)) this.#names.delete(variable);
  }

  #forgetDisposed(): void {
    this.#removeParameters([...this.#names].flatMap(([variable, name]) => (isAlive(variable) ? [] : [name])));
  }

  #disposeWeights(): void {
    for (const weight of this.#weights) weight.tensor.dispose();
    this.#weights = [];
  }

  /** @throws AdakitError `busy` during a call that keeps training out */
  #assertTraining(): void {
    this.#run.assertAlive();
    if (this.#busyWith === undefined) return;
    throw new AdakitError('busy', `${this.#busyWith} has not finished; await it first`);
  }
}

/**
 * Makes a TensorFlow.js optimizer of an adakit one, for `model.compile`, `minimize` and `applyGradients` on any
 * backend. Touches no backend before its first step.
 *
 * @example
 * ```ts
 * model.compile({ optimizer: tfjsOptimizer(adam({ lr: 1e-3 })), loss: 'meanSquaredError' });
 * ```
 * @throws AdakitError `invalid-plan` for `adam` in the place of `adam()`, an option that there is not, or a policy that the
 * optimizer does not allow
 */
export function tfjsOptimizer(optimizer: Optimizer, options?: TfjsOptimizerOptions): AdakitOptimizer {
  return new AdakitOptimizer(optimizer, options);
}

/** Gradients in the order of the variables asked for. */
function inOrder(grads: NamedTensorMap, varList: readonly Variable[] | undefined): Gradients {
  // Of layers that models share, a list of weights has the same ones twice.
  return varList ? [...new Set(varList)].map(({ name }) => ({ name, tensor: grads[name] })) : grads;
}
