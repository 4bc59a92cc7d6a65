import { AdakitError } from '../errors.js';
import { interpret } from '../execution/interpreter.js';
import type { HyperparameterValues } from '../optimizer/hyperparameters.js';
import { matches, type Optimizer } from '../optimizer/optimizer.js';
import type { Slot } from '../program/program.js';
import { copyTensor, filled, type TensorData } from '../tensor/tensor-data.js';
import type { AdaptedSlot } from './adapt-report.js';
import { slotMeaning } from './slot-meaning.js';
import { parameterGroup, type ParameterState, type TrainingState } from './training-state.js';

/** One parameter in the terms of another rule, and what became of its slots. */
export interface CarriedOver {
  readonly parameter: ParameterState;
  readonly slots: readonly AdaptedSlot[];
}

/** A parameter that is new to the run. */
export function startAfresh(value: TensorData, rule: Optimizer): CarriedOver {
  return assemble(
    value,
    0,
    rule.program.slots.map((slot) => initialize(slot, value)),
  );
}

/**
 * Carries one parameter of a saved run over to another rule; see `adaptState` for how.
 *
 * @param rule the optimizer as it applies to the parameter
 * @param sources saved slots that go on under other names, by the new ones
 */
export function carryOver(
  state: TrainingState,
  name: string,
  rule: Optimizer,
  sources: Readonly<Record<string, string>>,
): CarriedOver {
  const { value, slots: saved } = state.parameters[name];
  const wanted = rule.program.slots.map((slot): WantedSlot => {
    const source = Object.hasOwn(sources, slot.name) ? sources[slot.name] : slot.name;
    const tensor = Object.hasOwn(saved, source) ? saved[source] : undefined;
    if (tensor === undefined && source !== slot.name) {
      const has = Object.keys(saved).map((known) => `"${known}"`);
      const problem = `options.slots wants "${source}" as "${slot.name}", but "${name}" has ${has.join(', ') || 'no slots'}`;
      throw new AdakitError('state-mismatch', problem);
    }
    return { slot, source, tensor };
  });
  const { updates, factor, fresh } = plan(state, name, rule, wanted);
  const slots = wanted.map(({ slot, source, tensor }, i): FilledSlot => {
    const scale = tensor && factor(slot.name);
    if (tensor === undefined || scale === undefined) return fresh(i);
    const report: AdaptedSlot = {
      name: slot.name,
      outcome: source === slot.name ? 'kept' : 'renamed',
      ...(source !== slot.name && { from: source }),
      ...(scale !== 1 && { factor: scale }),
    };
    return { report, tensor: scale === 1 ? copyTensor(tensor) : scaled(tensor, scale) };
  });
  const used = slots.flatMap(({ report: { outcome, from, name: slot } }) =>
    outcome === 'kept' || outcome === 'renamed' ? [from ?? slot] : [],
  );
  return assemble(
    value,
    updates,
    slots,
    Object.keys(saved).filter((slot) => !used.includes(slot)),
  );
}

interface WantedSlot {
  readonly slot: Slot;
  /** The saved slot that it goes on from. */
  readonly source: string;
  /** Undefined if there is none. */
  readonly tensor: TensorData | undefined;
}

interface FilledSlot {
  readonly report: AdaptedSlot;
  readonly tensor: TensorData;
}

interface Plan {
  /** Updates that the parameter has had, as the new rule counts. */
  readonly updates: number;
  /** What a saved slot is multiplied by; undefined if it cannot be used. */
  readonly factor: (slot: string) => number | undefined;
  /** Slot i where there is no saved one. */
  readonly fresh: (i: number) => FilledSlot;
}

function plan(
  { parameters, optimizer }: TrainingState,
  name: string,
  rule: Optimizer,
  wanted: readonly WantedSlot[],
): Plan {
  const { value, step } = parameters[name];
  const groups = optimizer.groups.filter((group) => matches(parameterGroup(group).match, name));
  const before = Object.assign(
    {},
    optimizer.hyperparameters,
    ...groups.map((group) => group.hyperparameters),
  ) as HyperparameterValues;
  const after = rule.hyperparameters;
  const atCount = (updates: number) => (slot: string) => correction(slot, [before, step], [after, updates]);
  const initial = (i: number): FilledSlot => initialize(wanted[i].slot, value);

  const isCounting = rule.program.instructions.some((line) => line.op === 'input' && line.name === 'step');
  if (!isCounting) return { updates: step, factor: () => 1, fresh: initial };
  const isComplete = wanted.every(({ slot, tensor }) => tensor !== undefined || slotMeaning(slot.name).joinsLate);
  if (isComplete || step === 0) return { updates: step, factor: atCount(step), fresh: initial };

  const expAvg = wanted.find(({ slot }) => slot.name === 'expAvg')?.tensor;
  const scale = atCount(1)('expAvg');
  if (expAvg === undefined || scale === undefined) return { updates: 0, factor: () => undefined, fresh: initial };
  // The mean gradient: its first update, (1 − β)g, is what expAvg becomes.
  const seeds = firstUpdate(rule, scaled(expAvg, scale / (1 - Number(after.beta1))));
  const seeded = (i: number): FilledSlot => ({
    report: { name: wanted[i].slot.name, outcome: 'seeded' },
    tensor: seeds[i],
  });
  return { updates: 1, factor: atCount(1), fresh: seeded };
}

/**
 * What a slot has to be multiplied by so that its corrected value stays the same, given hyperparameters and number of
 * updates before and after; undefined if it cannot stay.
 */
function correction(
  slot: string,
  [before, updatesBefore]: readonly [HyperparameterValues, number],
  [after, updatesAfter]: readonly [HyperparameterValues, number],
): number | undefined {
  const { decay } = slotMeaning(slot);
  if (decay === undefined) return updatesBefore === updatesAfter ? 1 : undefined;
  const [old, now] = [before[decay], after[decay]];
  if (typeof old !== 'number' || typeof now !== 'number') return undefined;
  if (updatesBefore === 0 || (updatesBefore === updatesAfter && old === now)) return 1;
  return (1 - now ** updatesAfter) / (1 - old ** updatesBefore);
}

/** The slots after a first update with this gradient. The parameter is 0, so that weight decay adds nothing. */
function firstUpdate(rule: Optimizer, gradient: TensorData): TensorData[] {
  const { program } = rule;
  const { dtype, shape, data } = gradient;
  const slots = program.slots.map(({ initial }) => filled(dtype, shape, initial).data);
  const updated = interpret(
    program,
    { param: filled(dtype, shape, 0).data, grad: data, slots },
    rule.scalars(1),
    dtype,
  );
  return updated.slots.map((slot) =>
    slot instanceof Float32Array ? { dtype: 'float32', shape, data: slot } : { dtype: 'float64', shape, data: slot },
  );
}

function initialize({ name, initial }: Slot, { dtype, shape }: TensorData): FilledSlot {
  return { report: { name, outcome: 'initialized', initial }, tensor: filled(dtype, shape, initial) };
}

/** The tensor times a number, in its own precision. */
function scaled(tensor: TensorData, factor: number): TensorData {
  const copy = copyTensor(tensor);
  copy.data.forEach((x, i) => (copy.data[i] = x * factor));
  return copy;
}

function assemble(
  value: TensorData,
  step: number,
  slots: readonly FilledSlot[],
  dropped: readonly string[] = [],
): CarriedOver {
  const tensors = slots.map(({ report, tensor }) => [report.name, tensor] as const);
  return {
    parameter: { value: copyTensor(value), step, slots: Object.fromEntries(tensors) },
    slots: [...slots.map(({ report }) => report), ...dropped.map((name) => ({ name, outcome: 'dropped' }) as const)],
  };
}
