import {
  AdakitError,
  castTensor,
  filled,
  optimizerState,
  restoreOptimizer,
  type Optimizer,
  type TensorData,
  type TrainingState,
} from '@adakit/core';
import { clone, engine, fill, getBackend, keep, tensor, tidy, type Tensor, type Variable } from '@tensorflow/tfjs-core';
import { runProgram } from './program.js';
import { ScalarTensors } from './scalar-tensors.js';

/** What is kept for one variable. */
export interface VariableRecord {
  /**
   * The name by which groups, states and saved weights know the variable. Usually the variable's own; but a variable
   * that continues a saved one, under a new name, keeps the old name here.
   */
  readonly name: string;
  /** Updates this variable has had. */
  step: number;
  /** Tensors of the variable's shape; one that is missing has its initial value. */
  readonly slots: Map<string, Tensor>;
}

export type NamedVariable = readonly [name: string, variable: Variable];

/**
 * Applies an optimizer to variables. Records belong to variables, not to names or positions, so the list of variables
 * may change from step to step. Slots are kept tensors, not variables: `tf.disposeVariables()` and name clashes do not
 * concern them.
 */
export class VariableUpdater {
  optimizer: Optimizer;
  /** Steps taken. */
  step = 0;
  readonly #records = new Map<Variable, VariableRecord>();
  readonly #scalars = new ScalarTensors();

  constructor(optimizer: Optimizer) {
    this.optimizer = optimizer;
  }

  /** The variables updated so far, with what is kept for them. Those disposed since then are forgotten. */
  records(): ReadonlyMap<Variable, VariableRecord> {
    const { registeredVariables } = engine();
    for (const [variable, record] of this.#records) {
      if (registeredVariables[variable.name] === variable) continue;
      disposeRecord(record);
      this.#records.delete(variable);
    }
    return this.#records;
  }

  /**
   * Takes one step. Gradients are float32 and of their variables' shapes.
   *
   * @param updates each with the name that a new record gets
   */
  apply(updates: readonly { name: string; variable: Variable; gradient: Tensor }[]): void {
    const records = this.records();
    this.step++;
    for (const { name, variable, gradient } of updates) {
      const record = records.get(variable) ?? { name, step: 0, slots: new Map<string, Tensor>() };
      this.#update(this.optimizer.for(record.name).at(this.step), variable, gradient, record);
      this.#records.set(variable, record);
    }
    this.#scalars.endStep();
  }

  /** A copy of these variables, their slots and step counts as they are at the time of the call. */
  async state(variables: readonly NamedVariable[]): Promise<TrainingState> {
    const { step, optimizer } = this;
    const origin = `tfjs/${getBackend()}`;
    // Counts are taken and all reads started before the first read ends: a step taken meanwhile does not show.
    const reading = variables.map(async ([name, variable]) => {
      const record = this.#records.get(variable);
      const updates = record?.step ?? 0;
      const slots = optimizer.for(name).program.slots.map(async ({ name: slot, initial }) => {
        const kept = record?.slots.get(slot);
        return [slot, kept ? await read(kept) : filled('float32', variable.shape, initial)] as const;
      });
      const [value, entries] = await Promise.all([read(variable), Promise.all(slots)]);
      return [name, { value, step: updates, slots: Object.fromEntries(entries) }] as const;
    });
    const parameters = Object.fromEntries(await Promise.all(reading));
    return { optimizer: optimizerState(optimizer), step, parameters, origin };
  }

  /**
   * Replaces the values of these variables, all records, the step and the hyperparameters by those of `state`.
   *
   * @throws AdakitError when the state is not one of exactly these variables; nothing has changed then
   */
  load(state: TrainingState, variables: readonly NamedVariable[]): void {
    for (const [name, variable] of variables) assertTrainable(name, variable);
    const shapes = Object.fromEntries(variables.map(([name, variable]) => [name, variable.shape]));
    this.optimizer = restoreOptimizer(state, this.optimizer, shapes);
    const loaded = variables.map(([name, variable]): [Variable, VariableRecord] => {
      const { value, step, slots } = state.parameters[name];
      tidy(() => {
        variable.assign(upload(value));
      });
      const nonempty = Object.entries(slots).filter(() => variable.size > 0);
      return [variable, { name, step, slots: new Map(nonempty.map(([slot, data]) => [slot, keep(upload(data))])) }];
    });
    this.restore(state.step, loaded);
  }

  /** Replaces the step and all records; tensors in `records` become this object's. */
  restore(step: number, records: Iterable<readonly [Variable, VariableRecord]>): void {
    this.#records.forEach(disposeRecord);
    this.#records.clear();
    this.step = step;
    for (const [variable, record] of records) this.#records.set(variable, record);
  }

  /** Adds a record; its tensors become this object's. */
  adopt(variable: Variable, record: VariableRecord): void {
    this.#records.set(variable, record);
  }

  /** Frees the slots and everything cached. */
  dispose(): void {
    this.restore(this.step, []);
    this.#scalars.dispose();
  }

  #update(rule: Optimizer, variable: Variable, gradient: Tensor, record: VariableRecord): void {
    const { program } = rule;
    // Without elements there is nothing to compute, and backends disagree about reductions of nothing.
    if (variable.size > 0) {
      tidy(() => {
        const before = program.slots.map(
          ({ name, initial }) => record.slots.get(name) ?? fill(variable.shape, initial),
        );
        const inputs = { param: variable, grad: gradient, slots: before };
        const after = runProgram(program, inputs, rule.scalars(record.step + 1), this.#scalars.get);
        variable.assign(after.param);
        program.slots.forEach(({ name }, i) => {
          record.slots.get(name)?.dispose();
          record.slots.set(name, keep(after.slots[i]));
        });
      });
    }
    record.step++;
  }
}

/** @throws AdakitError for a variable that is not float32 */
export function assertTrainable(name: string, { dtype }: Variable): void {
  if (dtype === 'float32') return;
  throw new AdakitError('invalid-gradient', `the variable "${name}" has dtype ${dtype}; only float32 is trained`);
}

export function copyRecord({ name, step, slots }: VariableRecord): VariableRecord {
  return { name, step, slots: new Map([...slots].map(([slot, values]) => [slot, keep(clone(values))])) };
}

export function disposeRecord({ slots }: VariableRecord): void {
  for (const slot of slots.values()) slot.dispose();
}

/** Host data as a tensor. TensorFlow.js may go on using the array it is given, so this is a copy. */
export function upload(data: TensorData): Tensor {
  return tensor(castTensor(data, 'float32').data as Float32Array, [...data.shape], 'float32');
}

async function read(source: Tensor): Promise<TensorData> {
  // A copy: the cpu backend hands out the array that it keeps.
  return { dtype: 'float32', shape: [...source.shape], data: Float32Array.from(await source.data<'float32'>()) };
}
