import { bufferNames, type Binding, type BoundKernel, type Device, type Kernel } from '../device/device.js';
import type { Slot } from '../component/component.js';
import { concreteShape } from '../expression/extents.js';
import type { ParameterSpec } from '../optimizer/match.js';
import type { Optimizer } from '../optimizer/optimizer.js';
import type { ParameterStage, PlannedCall, PlannedParameter, PlanGroup } from '../plan/plan.js';
import type { Program } from '../program/program.js';
import { evaluateScalars } from '../program/scalars.js';
import { elementCount, type TensorData } from '../tensor/tensor-data.js';
import type { KeptState } from './kept-state.js';
import type { GradientContext } from './step-types.js';

/**
 * A parameter to start with: a value to copy, a function that writes the value into its buffer, which is all zero, or a buffer
 * that holds it already and stays its owner's.
 */
export type RunParameter<B> = Omit<ParameterSpec, 'name' | 'shape'> & {
  /** What was kept for it before, to go on from: see `keptState`. Default: slots at their start, no updates yet. */
  readonly kept?: KeptState;
} & (
    | { readonly value: TensorData }
    | { write(buffer: NoInfer<B>): void; readonly shape: readonly number[] }
    | { readonly buffer: B; readonly shape: readonly number[] }
  );

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
}

/** Parameters of one group that a program is bound to. */
export interface BoundCall {
  readonly group: PlanGroup;
  readonly parameters: readonly PlannedParameter[];
  /** Theirs, side by side: a step looks at nothing else of most parameters. */
  readonly indices: readonly number[];
}

/** A program that is bound to the parameters of some calls, in this order. */
export interface BoundProgram {
  readonly program: Program;
  readonly calls: readonly BoundCall[];
  readonly kernel: BoundKernel;
}

/** The buffers of a run on its device, and the kernels that work on them. */
export class Memory<B> {
  readonly device: Device<B>;
  /** In the order of the plan's parameters. */
  records: readonly Kept<B>[] = [];
  /** Updates that each parameter has had, in the same order. */
  steps: number[] = [];
  /**
   * Numbers of all parameters together, by the names that programs have for them: those kept between steps as
   * `global.<name>`, and totals that a step makes as `sum.<name>` and `largest.<name>`.
   */
  readonly numbers = new Map<string, B>();
  /** Start values that the device is still computing; whatever comes next waits for them. */
  starting: Promise<unknown> | undefined;
  readonly #kernels = new Map<string, Kernel<B>>();
  /** Bound kernels of this plan's stages, by the parameters that take part. */
  #bound = new Map<ParameterStage, Map<string, readonly BoundProgram[]>>();
  /** Of parameters and gradients by name, once somebody has asked for them. */
  buffers: Pick<GradientContext<B>, 'parameters' | 'gradients'> | undefined;
  /** Of all parameters of this plan: the same list every step, which a device may prepare for. */
  #gradients: readonly B[] | undefined;

  constructor(device: Device<B>) {
    this.device = device;
  }

  /** Forgets what holds for a plan alone, whose parameters or slots have changed. */
  planChanged(): void {
    this.#bound = new Map();
    this.#gradients = this.buffers = undefined;
  }

  gradients(parameters: readonly PlannedParameter[]): readonly B[] {
    const records = this.recordsOf(parameters);
    const gradients = (): readonly B[] => records.map(({ grad }) => grad);
    return records === this.records ? (this.#gradients ??= gradients()) : gradients();
  }

  /** What is kept for parameters of the plan. */
  recordsOf(parameters: readonly PlannedParameter[]): readonly Kept<B>[] {
    return parameters.length === this.records.length
      ? this.records
      : parameters.map(({ index }) => this.records[index]);
  }

  /** The programs of a stage on some parameters. Calls of one program that follow each other are one for the device. */
  bindStage(stage: ParameterStage, members: readonly PlannedParameter[]): readonly BoundProgram[] {
    const isAll = members.length === this.records.length;
    // None of them is not all of them.
    const id = isAll ? 'all' : members.map(({ index }) => index).join();
    const known = this.#bound.get(stage) ?? new Map<string, readonly BoundProgram[]>();
    this.#bound.set(stage, known);
    let bound = known.get(id);
    if (bound === undefined) known.set(id, (bound = this.#bindCalls(stage.calls, new Set(members))));
    return bound;
  }

  #bindCalls(calls: readonly PlannedCall[], members: ReadonlySet<PlannedParameter>): readonly BoundProgram[] {
    const runs: { readonly program: Program; readonly calls: BoundCall[] }[] = [];
    for (const { program, group, parameters: all } of calls) {
      const parameters = all.filter((parameter) => members.has(parameter));
      if (parameters.length === 0) continue;
      const call = { group, parameters, indices: parameters.map(({ index }) => index) };
      const last = runs.at(-1);
      if (last?.program.hash === program.hash) last.calls.push(call);
      else runs.push({ program, calls: [call] });
    }
    return runs.map(({ program, calls }) => {
      const names = bufferNames(program);
      const bindings = calls.flatMap(({ parameters }) =>
        parameters.map(({ extents, shape, index }): Binding<B> => {
          return { buffers: this.#buffersOf(names, this.records[index]), extents, shape };
        }),
      );
      return { program, calls, kernel: this.#kernel(program).bind(bindings) };
    });
  }

  /**
   * A program over what is kept for one parameter, or over numbers of all parameters.
   *
   * @param others buffers for what is not kept
   */
  bind(
    program: Program,
    { shape, extents }: Omit<Binding<B>, 'buffers'> = { shape: [], extents: { rows: 1, cols: 1 } },
    record?: Kept<B>,
    others?: Readonly<Record<string, B>>,
  ): BoundKernel {
    const buffers = this.#buffersOf(bufferNames(program), record, others);
    return this.#kernel(program).bind([{ buffers, extents, shape }]);
  }

  #kernel(program: Program): Kernel<B> {
    let kernel = this.#kernels.get(program.hash);
    if (kernel === undefined) this.#kernels.set(program.hash, (kernel = this.device.compile(program)));
    return kernel;
  }

  /** Buffers by the names that programs have for them. */
  #buffersOf(
    names: readonly string[],
    record?: Kept<B>,
    others: Readonly<Record<string, B | undefined>> = {},
  ): Record<string, B> {
    return Object.fromEntries(
      names.map((name) => {
        const own = name === 'param' || name === 'grad' || name === 'estimate';
        const kept = own ? record?.[name] : record?.slots.get(name.slice('slot.'.length));
        // A plan's programs name nothing else.
        return [name, (others[name] ?? this.numbers.get(name) ?? kept) as B];
      }),
    );
  }

  /**
   * Takes up parameters.
   *
   * @throws AdakitError `state-mismatch` for what was kept for another optimizer; nothing has changed then
   */
  add(planned: readonly PlannedParameter[], given: readonly RunParameter<B>[], optimizer: Optimizer): void {
    const kept = given.map((source) => source.kept);
    kept.find(Boolean)?.check(planned, kept, optimizer);
    const lists = planned.map((parameter, i) => {
      const size = elementCount(parameter.shape);
      const own = 'buffer' in given[i] ? [] : [size];
      return [...own, size, ...parameter.slots.map((slot) => slotLength(slot, parameter))];
    });
    const buffers = this.#allocate(planned, lists);
    const added = planned.map((parameter, i) => {
      const source = given[i];
      const own = !('buffer' in source);
      const [param, grad, ...list] = own ? buffers[i] : [source.buffer, ...buffers[i]];
      if ('value' in source) this.device.write(param, source.value.data);
      if ('write' in source) source.write(param);
      const slots = new Map(parameter.slots.map(({ name }, k) => [name, list[k]]));
      const record: Kept<B> = { param, own, grad, slots };
      for (const slot of parameter.slots) {
        if (source.kept === undefined) this.#startSlot(record, slot, parameter);
        else this.device.write(slots.get(slot.name) as B, source.kept.slots[slot.name].data);
      }
      return record;
    });
    this.records = [...this.records, ...added];
    this.steps.push(...kept.map((own) => own?.step ?? 0));
  }

  /** Parameters that one call updates stand side by side, whatever their order: devices read them as if they were one. */
  #allocate(planned: readonly PlannedParameter[], lists: readonly (readonly number[])[]): B[][] {
    const together = new Map<string, number[]>();
    planned.forEach(({ group, hash }, i) => {
      const key = `${group.path} ${hash}`;
      const known = together.get(key);
      if (known === undefined) together.set(key, [i]);
      else known.push(i);
    });
    const order = [...together.values()].flat();
    const buffers = this.device.allocate(order.map((i) => lists[i]));
    const placed: B[][] = [];
    order.forEach((i, k) => (placed[i] = buffers[k]));
    return placed;
  }

  #startSlot(
    record: Kept<B>,
    { name, start }: Slot,
    parameter: ParameterSpec & Pick<PlannedParameter, 'extents'>,
  ): void {
    const buffer = record.slots.get(name) as B;
    if (typeof start === 'number') {
      if (start !== 0) this.device.write(buffer, start);
      return;
    }
    const bound = this.bind(start, parameter, record, { start: buffer });
    const started = bound.run([evaluateScalars(start, () => NaN)]);
    if (!(started instanceof Promise)) return;
    this.starting = Promise.all([this.starting, started]);
    // Whatever waits for it next reports a failure.
    this.starting.catch(() => undefined);
  }

  /**
   * Makes the slots those of a parameter; added ones, and those of another shape than before, are at their start, those that it
   * no longer has are freed.
   *
   * @param before its slots so far
   * @param start whether new slots get their start values; a state brings its own
   */
  fitSlots(record: Kept<B>, parameter: PlannedParameter, before: readonly Slot[], start = true): void {
    for (const { name, shape } of before) {
      if (parameter.slots.some((slot) => slot.name === name && String(slot.shape) === String(shape))) continue;
      this.device.free([record.slots.get(name) as B]);
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

  /** Counts an update of some parameters. @param by −1: takes it out of the count */
  count(parameters: readonly PlannedParameter[], by: 1 | -1): void {
    const { steps } = this;
    if (parameters.length < steps.length) for (const { index } of parameters) steps[index] += by;
    else for (let i = 0; i < steps.length; i++) steps[i] += by;
  }

  /** Forgets parameters, and frees what is kept for them. @param goes by position */
  remove(goes: readonly boolean[]): void {
    const stays = (_: unknown, i: number): boolean => !goes[i];
    this.#free(this.records.filter((_, i) => goes[i]));
    this.records = this.records.filter(stays);
    this.steps = this.steps.filter(stays);
  }

  #free(records: readonly Kept<B>[]): void {
    for (const { param, own, grad, slots, origin, estimate } of records) {
      const borrowed = [origin, estimate].filter((buffer) => buffer !== undefined);
      this.device.free([...(own ? [param] : []), grad, ...slots.values(), ...borrowed]);
    }
  }

  dispose(): void {
    this.#free(this.records);
    this.device.free([...this.numbers.values()]);
    this.records = [];
    this.numbers.clear();
  }
}

function slotLength(slot: Slot, { shape, extents }: PlannedParameter): number {
  return elementCount(concreteShape(slot.shape, shape, extents));
}
