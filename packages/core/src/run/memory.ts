import { bufferNames, type Binding, type BoundKernel, type Device, type Kernel } from '../device/device.js';
import type { Slot } from '../component/component.js';
import { AdakitError } from '../errors.js';
import { concreteShape } from '../expression/type.js';
import type { ParameterSpec } from '../optimizer/match.js';
import type { Optimizer } from '../optimizer/optimizer.js';
import type { PlannedParameter } from '../plan/plan.js';
import type { Program } from '../program/program.js';
import { evaluateScalars } from '../program/scalars.js';
import { elementCount, type TensorData } from '../tensor/tensor-data.js';
import type { KeptState } from './kept-state.js';

/** A parameter to start with: a value to copy, or a buffer that holds it already and stays its owner's. */
export type RunParameter<B> = Omit<ParameterSpec, 'name' | 'shape'> & {
  /** What was kept for it before, to go on from: see `keptState`. Default: slots at their start, no updates yet. */
  readonly kept?: KeptState;
} & ({ readonly value: TensorData } | { readonly buffer: B; readonly shape: readonly number[] });

/** What is kept for one parameter on the device. */
export interface Kept<B> {
  readonly param: B;
  /** Whether the run made the parameter's buffer. */
  readonly own: boolean;
  readonly grad: B;
  readonly slots: Map<string, B>;
  /** A gradient of another loss that a rule takes in every so many steps. */
  estimate?: B;
  /** Where the parameter was before it was perturbed. */
  origin?: B;
  step: number;
}

/** A kernel with what is kept for the parameters that it runs on. */
export type BoundProgram<B> = BoundKernel & { readonly records: readonly Kept<B>[] };

/** The buffers of a run on its device, and the kernels that work on them. */
export class Memory<B> {
  readonly device: Device<B>;
  /** In the order of the plan's parameters. */
  records: readonly Kept<B>[] = [];
  /** Numbers of all parameters together, by name. */
  readonly globals = new Map<string, B>();
  /** Start values that the device is still computing; whatever comes next waits for them. */
  starting: Promise<unknown> | undefined;
  /** Totals over parameters, while a step runs. */
  readonly #totals = new Map<string, B>();
  readonly #kernels = new Map<string, Kernel<B>>();
  /** Bound kernels of this plan, by program and parameters. */
  #bound = new Map<string, BoundProgram<B>>();
  /** Of all parameters of this plan: the same list every step, which a device may prepare for. */
  #gradients: readonly B[] | undefined;

  constructor(device: Device<B>) {
    this.device = device;
  }

  /** Forgets what holds for a plan alone, whose parameters or slots have changed. */
  planChanged(): void {
    this.#bound = new Map();
    this.#gradients = undefined;
  }

  gradients(parameters: readonly PlannedParameter[]): readonly B[] {
    if (parameters.length < this.records.length) return parameters.map(({ index }) => this.records[index].grad);
    return (this.#gradients ??= this.records.map(({ grad }) => grad));
  }

  /** What is kept for parameters of the plan. */
  recordsOf(parameters: readonly PlannedParameter[]): readonly Kept<B>[] {
    return parameters.length === this.records.length
      ? this.records
      : parameters.map(({ index }) => this.records[index]);
  }

  /** A program on parameters, or on numbers of all of them where there are none. */
  bind(program: Program, members: readonly PlannedParameter[], key: string): BoundProgram<B> {
    const id = `${program.hash} ${key}`;
    let bound = this.#bound.get(id);
    if (bound === undefined) {
      const names = bufferNames(program);
      const bindings =
        members.length === 0
          ? [{ buffers: this.buffersOf(names, undefined), extents: { rows: 1, cols: 1 }, shape: [] }]
          : members.map((parameter): Binding<B> => ({
              buffers: this.buffersOf(names, this.records[parameter.index]),
              extents: parameter.extents,
              shape: parameter.shape,
            }));
      const kernel = this.kernel(program).bind(bindings);
      bound = {
        run: (scalars) => kernel.run(scalars),
        records: members.map(({ index }) => this.records[index]),
      };
      this.#bound.set(id, bound);
    }
    return bound;
  }

  kernel(program: Program): Kernel<B> {
    let kernel = this.#kernels.get(program.hash);
    if (kernel === undefined) this.#kernels.set(program.hash, (kernel = this.device.compile(program)));
    return kernel;
  }

  /** Buffers by the names that programs have for them. */
  buffersOf(names: readonly string[], record: Kept<B> | undefined): Record<string, B> {
    return Object.fromEntries(
      names.map((name) => {
        const buffer = this.#buffer(name, record);
        if (buffer === undefined) throw new Error(`nothing is kept under the name "${name}"`);
        return [name, buffer];
      }),
    );
  }

  #buffer(name: string, record: Kept<B> | undefined): B | undefined {
    if (name.startsWith('global.')) return this.globals.get(name.slice('global.'.length));
    if (name.startsWith('sum.') || name.startsWith('largest.')) return this.total(name);
    if (name === 'param') return record?.param;
    if (name === 'grad') return record?.grad;
    if (name === 'estimate') return record?.estimate;
    return record?.slots.get(name.slice('slot.'.length));
  }

  /** A total over parameters, by the name of the output that adds to it. */
  total(name: string): B {
    let total = this.#totals.get(name);
    if (total === undefined) this.#totals.set(name, (total = this.device.allocate([[1]])[0][0]));
    return total;
  }

  /**
   * Takes up parameters.
   *
   * @throws AdakitError `state-mismatch` for what was kept for another optimizer; nothing has changed then
   */
  add(planned: readonly PlannedParameter[], given: readonly RunParameter<B>[], optimizer: Optimizer): void {
    const problems = planned.flatMap((parameter, i) => given[i].kept?.problems(parameter, optimizer) ?? []);
    if (problems.length > 0) {
      throw new AdakitError('state-mismatch', `what was kept does not fit this run:\n  ${problems.join('\n  ')}`);
    }
    const lists = planned.map((parameter, i) => {
      const size = elementCount(parameter.shape);
      const own = 'value' in given[i] ? [size] : [];
      return [...own, size, ...parameter.slots.map((slot) => slotLength(slot, parameter))];
    });
    const buffers = this.device.allocate(lists);
    const added = planned.map((parameter, i) => {
      const source = given[i];
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
    this.records = [...this.records, ...added];
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
    const kernel = this.kernel(start);
    const bound = kernel.bind([{ buffers: { param: record.param, start: buffer }, extents, shape }]);
    const started = bound.run([evaluateScalars(start, () => NaN)]);
    if (!(started instanceof Promise)) return;
    this.starting = Promise.all([this.starting, started]);
    // Whatever waits for it next reports a failure.
    this.starting.catch(() => undefined);
  }

  /**
   * Makes the slots those of a parameter; added ones are at their start, those that it no longer has are freed.
   *
   * @param start whether new slots get their start values; a state brings its own
   */
  fitSlots(record: Kept<B>, parameter: PlannedParameter, start = true): void {
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

  /** Frees what is kept for parameters. */
  free(records: readonly Kept<B>[]): void {
    for (const { param, own, grad, slots, origin, estimate } of records) {
      const borrowed = [origin, estimate].filter((buffer) => buffer !== undefined);
      this.device.free([...(own ? [param] : []), grad, ...slots.values(), ...borrowed]);
    }
  }

  dispose(): void {
    this.free(this.records);
    this.device.free([...this.globals.values(), ...this.#totals.values()]);
    this.records = [];
    this.globals.clear();
    this.#totals.clear();
  }
}

function slotLength(slot: Slot, { shape, extents }: PlannedParameter): number {
  return elementCount(concreteShape(slot.shape, shape, extents));
}
