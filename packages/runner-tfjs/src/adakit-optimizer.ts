import { AdakitError, sameShape, type Optimizer, type Stateful, type TrainingState } from '@adakit/core';
import {
  Optimizer as TfjsOptimizer,
  engine,
  ready,
  serialization,
  type NamedTensorMap,
  type Scalar,
  type Tensor,
  type Variable,
} from '@tensorflow/tfjs-core';
import { fromConfig, rememberLoader, rememberOptimizer, toConfig, type OptimizerLoader } from './config.js';
import { matchRecords, nameWeights, readWeights, type NamedTensor } from './saved-weights.js';
import {
  assertTrainable,
  copyRecord,
  disposeRecord,
  VariableUpdater,
  type NamedVariable,
  type VariableRecord,
} from './variable-updater.js';

/** Gradients by variable name. A variable without a gradient is left alone. */
export type Gradients =
  | Readonly<Record<string, Tensor | null | undefined>>
  | readonly { readonly name: string; readonly tensor?: Tensor | null | undefined }[];

/**
 * An adakit optimizer as an optimizer of TensorFlow.js, on any of its backends.
 *
 * - Slots belong to variables: the list of variables may change from step to step, and each counts its own steps.
 * - Gradients are only read, and never disposed.
 * - Slots are made when a variable has its first gradient, and held until {@link dispose}; a step leaves no other
 *   tensors behind. When a variable is disposed, its slots go with the next step.
 *
 * Made by {@link tfjsOptimizer}.
 */
export class AdakitOptimizer extends TfjsOptimizer implements Stateful {
  static get className(): string {
    return 'Adakit';
  }

  readonly #updater: VariableUpdater;
  /** From {@link setWeights}, until the variables turn up that they belong to. */
  #saved: readonly VariableRecord[] = [];
  /** Counts among the weights that {@link getWeights} has last handed out. */
  #counts: Tensor[] = [];
  #disposed = false;

  constructor(optimizer: Optimizer) {
    super();
    this.#updater = new VariableUpdater(optimizer);
    rememberOptimizer(optimizer);
    serialization.registerClass(AdakitOptimizer);
  }

  /** The optimizer with its current hyperparameters. */
  get optimizer(): Optimizer {
    return this.#updater.optimizer;
  }

  /** Steps taken. */
  override get iterations(): number {
    return this.#updater.step;
  }

  /**
   * Changes hyperparameters from the next step on, as for a schedule: `setHyperparameters({ lr: 1e-4 })`.
   *
   * @throws AdakitError naming the hyperparameter that is unknown or out of range
   */
  setHyperparameters(changes: Readonly<Record<string, number | boolean>>): void {
    this.#assertAlive();
    this.#updater.optimizer = this.#updater.optimizer.with(changes);
  }

  override computeGradients(f: () => Scalar, varList?: Variable[]): { value: Scalar; grads: NamedTensorMap } {
    this.#assertAlive();
    return super.computeGradients(f, varList);
  }

  /**
   * Takes one step.
   *
   * @throws AdakitError for a gradient without a variable, of another shape or dtype, or given twice; nothing has been
   * updated then
   */
  override applyGradients(gradients: Gradients): void {
    this.#assertAlive();
    const entries = gradientEntries(gradients);
    this.#assignSaved(entries.map(({ variable }) => variable));
    this.#updater.apply(
      entries.flatMap(({ name, variable, tensor }) => (tensor ? [{ name, variable, gradient: tensor }] : [])),
    );
  }

  /**
   * Copies everything that training needs to go on: the variables updated so far, by name, with their slots and step
   * counts, and the hyperparameters. The state is that of the moment of the call.
   */
  async state(): Promise<TrainingState> {
    this.#assertAlive();
    if (this.#saved.length > 0) {
      throw new AdakitError(
        'invalid-state',
        `the weights from setWeights() for ${this.#saved.map(({ name }) => `"${name}"`).join(', ')} have not met their ` +
          'variables yet, whose values belong to the state; take a step with them first',
      );
    }
    return this.#updater.state(this.#named(this.#updater.records().keys()));
  }

  /**
   * Replaces the values of variables, their slots and step counts, and the hyperparameters by those of `state`; also
   * before the first step.
   *
   * @param variables those that the state is for, by name. Default: the variables updated so far, and any others that
   * TensorFlow.js knows by the names in the state. Where several models are alive, give the variables.
   * @throws AdakitError listing all that does not fit; nothing has changed then
   */
  async load(state: TrainingState, variables?: Iterable<Variable>): Promise<void> {
    await ready();
    this.#assertAlive();
    this.#updater.load(state, this.#named(variables ?? this.#variablesFor(state)));
    this.#dropSaved();
  }

  /**
   * The optimizer's weights: `iterations`, `<variable>/<slot>`, and `<variable>/iterations` where a variable has had
   * another number of updates. The tensors stay the optimizer's and hold until its next step.
   */
  override async getWeights(): Promise<NamedTensor[]> {
    this.#assertAlive();
    this.#disposeCounts();
    const records = [...this.#updater.records().values(), ...this.#saved];
    const { weights, counts } = nameWeights(this.optimizer, this.iterations, records);
    this.#counts = counts;
    return Promise.resolve(weights);
  }

  /**
   * Replaces steps and slots. Which variables the slots belong to shows at the next step: the same name, the same name
   * up to a number at the end (`kernel` reloaded as `kernel_1`), or, if no name fits at all, the same shapes in the same
   * order. Anything else is an error of that step.
   *
   * @param weights as from {@link getWeights}, in any order; copied
   * @throws AdakitError when they are not this optimizer's; nothing has changed then
   */
  override async setWeights(weights: NamedTensor[]): Promise<void> {
    this.#assertAlive();
    const { steps, records } = await readWeights(weights, this.optimizer);
    this.#assertAlive();
    const copies = records.map(copyRecord);
    this.#dropSaved();
    this.#updater.restore(steps, []);
    this.#saved = copies;
  }

  override getConfig(): serialization.ConfigDict {
    return toConfig(this.optimizer);
  }

  static override fromConfig<T extends serialization.Serializable>(
    cls: serialization.SerializableConstructor<T>,
    config: serialization.ConfigDict,
  ): T {
    return new cls(fromConfig(config));
  }

  /** Frees slots and cached tensors. Doing so again is harmless; anything else is an error afterwards. */
  override dispose(): void {
    this.#updater.dispose();
    this.#dropSaved();
    this.#disposeCounts();
    this.#disposed = true;
  }

  /** Hands saved records to their variables, of which only those without records come into question. */
  #assignSaved(variables: readonly Variable[]): void {
    if (this.#saved.length === 0) return;
    const records = this.#updater.records();
    const matches = matchRecords(
      this.#saved,
      variables.filter((variable) => !records.has(variable)),
    );
    for (const [record, variable] of matches) this.#updater.adopt(variable, record);
    this.#saved = this.#saved.filter((record) => !matches.has(record));
  }

  #variablesFor(state: TrainingState): Iterable<Variable> {
    const seen = [...this.#updater.records()];
    const known = new Set(seen.map(([, { name }]) => name));
    const registered = engine().registeredVariables;
    const others = Object.keys(state.parameters).filter((name) => !known.has(name) && Object.hasOwn(registered, name));
    return [...seen.map(([variable]) => variable), ...others.map((name) => registered[name])];
  }

  /** The variables under the names by which states know them. */
  #named(variables: Iterable<Variable>): NamedVariable[] {
    const records = this.#updater.records();
    const named = [...variables].map((variable) => [records.get(variable)?.name ?? variable.name, variable] as const);
    const names = named.map(([name]) => name);
    const twice = names.find((name, i) => names.indexOf(name) !== i);
    if (twice === undefined) return named;
    throw new AdakitError('invalid-state', `two variables have the name "${twice}", which would mix up their slots`);
  }

  #dropSaved(): void {
    this.#saved.forEach(disposeRecord);
    this.#saved = [];
  }

  #disposeCounts(): void {
    for (const count of this.#counts) count.dispose();
    this.#counts = [];
  }

  #assertAlive(): void {
    if (this.#disposed) {
      throw new AdakitError('disposed', `this ${this.optimizer.name} optimizer has been disposed; make another`);
    }
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
 */
export function tfjsOptimizer(optimizer: Optimizer): AdakitOptimizer {
  return new AdakitOptimizer(optimizer);
}

/**
 * Makes optimizers known to `tf.loadLayersModel`, so that it can restore a model saved with one of them:
 * `registerOptimizers(adam, adabelief)`. Those that {@link tfjsOptimizer} has been given already are known.
 */
export function registerOptimizers(...optimizers: readonly OptimizerLoader[]): void {
  optimizers.forEach(rememberLoader);
  serialization.registerClass(AdakitOptimizer);
}

interface GradientEntry {
  readonly name: string;
  readonly variable: Variable;
  readonly tensor: Tensor | null | undefined;
}

function gradientEntries(gradients: Gradients): GradientEntry[] {
  const list = isList(gradients) ? gradients : Object.entries(gradients).map(([name, tensor]) => ({ name, tensor }));
  const registered = engine().registeredVariables;
  const seen = new Set<string>();
  return list.map(({ name, tensor }) => {
    if (!Object.hasOwn(registered, name)) {
      throw new AdakitError(
        'unknown-parameter',
        `gradient for "${name}", but TensorFlow.js has no variable of that name (disposed, or not made by tf.variable)`,
      );
    }
    if (seen.has(name)) throw new AdakitError('invalid-gradient', `there are two gradients for "${name}"; add them up`);
    seen.add(name);
    const variable = registered[name];
    if (tensor) assertFits(name, tensor, variable);
    return { name, variable, tensor };
  });
}

function assertFits(name: string, gradient: Tensor, variable: Variable): void {
  const fail = (problem: string): never => {
    throw new AdakitError('invalid-gradient', problem);
  };
  assertTrainable(name, variable);
  if (gradient.dtype !== 'float32') fail(`the gradient of "${name}" has dtype ${gradient.dtype}, float32 is needed`);
  if (!sameShape(gradient.shape, variable.shape)) {
    const [actual, expected] = [gradient, variable].map(({ shape }) => shape.join(', '));
    fail(`the gradient of "${name}" has shape [${actual}], the variable has [${expected}]`);
  }
}

/** Array.isArray does not narrow readonly arrays. */
function isList(gradients: Gradients): gradients is Extract<Gradients, readonly unknown[]> {
  return Array.isArray(gradients);
}
