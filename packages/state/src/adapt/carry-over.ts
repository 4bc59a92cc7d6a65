import {
  AdakitError,
  castTensor,
  concreteShape,
  copyTensor,
  filled,
  inputNames,
  makePlan,
  Optimizer,
  referenceDevice,
  RuleNode,
  Run,
  sameShape,
  meanings as words,
  type FloatArray,
  type ParameterState,
  type PlannedParameter,
  type Slot,
  type SlotMeaning,
  type TensorData,
} from '@adakit/core';
import { parameterState } from '@adakit/core/states';
import type { AdaptedSlot } from './adapt-report.js';
import type { SavedPiece } from './saved-pieces.js';

/** One parameter in the terms of another optimizer, and what became of its slots. */
export interface CarriedOver {
  readonly parameter: ParameterState;
  readonly slots: readonly AdaptedSlot[];
}

/** A parameter of a saved run. */
export interface SavedParameter {
  readonly state: ParameterState;
  /** The optimizer that it had. */
  readonly pieces: readonly SavedPiece[];
}

/** A parameter that is new to the run. */
export function startAfresh(value: TensorData, planned: PlannedParameter): CarriedOver {
  return assemble(
    value,
    0,
    planned,
    planned.slots.map((slot) => initialize(slot, planned, value)),
  );
}

/**
 * Carries one parameter of a saved run over to another optimizer; see `adaptState` for how.
 *
 * @param planned the parameter as the new optimizer treats it
 * @param sources saved slots that go on under other names, by the new ones
 */
export function carryOver(
  saved: SavedParameter,
  planned: PlannedParameter,
  sources: Readonly<Record<string, string>>,
): CarriedOver {
  const { value } = saved.state;
  const wanted = planned.slots.map((slot): WantedSlot => {
    const source = sourceOf(slot, planned, saved, sources);
    return { slot, source, tensor: source === undefined ? undefined : saved.state.slots[source] };
  });
  const { updates, factor, fresh } = decide(saved, planned, wanted);
  const slots = wanted.map((want): FilledSlot => {
    const { slot, source, tensor } = want;
    const scale = tensor && factor(want);
    if (tensor === undefined || source === undefined || scale === undefined) return fresh(want);
    const report: AdaptedSlot = {
      name: slot.name,
      outcome: source === slot.name ? 'kept' : 'renamed',
      ...(source !== slot.name && { from: source }),
      ...(scale !== 1 && { factor: scale }),
    };
    return { report, tensor: scale === 1 ? copyTensor(tensor) : scaled(tensor, scale) };
  });
  const used = slots.flatMap(({ report: { outcome, from, name } }) =>
    outcome === 'kept' || outcome === 'renamed' ? [from ?? name] : [],
  );
  const dropped = Object.keys(saved.state.slots).filter((slot) => !used.includes(slot));
  return assemble(value, updates, planned, slots, dropped);
}

interface WantedSlot {
  readonly slot: Slot;
  /** The saved slot that it goes on from. */
  readonly source: string | undefined;
  readonly tensor: TensorData | undefined;
}

interface FilledSlot {
  readonly report: AdaptedSlot;
  readonly tensor: TensorData;
}

/** In front of a slot's name: of a wrapper. */
function prefixOf(slot: string): string {
  return slot.slice(0, slot.indexOf('.') + 1);
}

/**
 * The saved slot that a slot goes on from. What they hold decides, not what they are called: the same quantity along the
 * same axes. Where authors have not said what a slot holds, nothing but the same component has it.
 */
function sourceOf(
  slot: Slot,
  planned: PlannedParameter,
  { state, pieces }: SavedParameter,
  sources: Readonly<Record<string, string>>,
): string | undefined {
  const { name, meaning } = slot;
  const shape = concreteShape(slot.shape, planned.shape, planned.extents);
  if (Object.hasOwn(sources, name)) {
    const source = sources[name];
    if (Object.hasOwn(state.slots, source) && sameShape(state.slots[source].shape, shape)) return source;
    const has = Object.keys(state.slots).map((known) => `"${known}"`);
    const problem = `options.slots wants "${source}" as "${name}", but "${planned.name}" has ${has.join(', ') || 'no slots'}`;
    throw new AdakitError(
      'state-mismatch',
      `${problem}${Object.hasOwn(state.slots, source) ? ', that of another shape' : ''}`,
    );
  }
  const prefix = prefixOf(name);
  const own = planned.group.pieces.find((piece) => piece.prefix === prefix)?.component.name;
  const axes = slot.shape === 'param' ? undefined : slot.shape === 'number' ? [] : slot.shape;
  const candidates = Object.entries(state.slots).flatMap(([other, tensor]) => {
    const held = meaningIn(state, other);
    const same =
      meaning === undefined || held === undefined
        ? meaning === held && other === name && pieces.some((piece) => piece.prefix === prefix && piece.name === own)
        : meaning.of === held.of && (prefix === '') === (prefixOf(other) === '');
    const fits = String(tensor.axes) === String(axes) && sameShape(tensor.shape, shape);
    return same && fits ? [{ other, held }] : [];
  });
  const choose = (test: (candidate: (typeof candidates)[number]) => boolean): string | undefined => {
    const found = candidates.filter(test);
    return found.length === 1 ? found[0].other : undefined;
  };
  return (
    choose(({ other }) => other === name) ??
    choose(({ other, held }) => prefixOf(other) === prefix && held?.decay === meaning?.decay) ??
    choose(() => true)
  );
}

function meaningIn({ meanings = {} }: ParameterState, slot: string): SlotMeaning | undefined {
  return Object.hasOwn(meanings, slot) ? meanings[slot] : undefined;
}

interface Decision {
  /** Updates that the parameter has had, as the new optimizer counts. */
  readonly updates: number;
  /** What a saved slot is multiplied by; undefined if it cannot be used. */
  readonly factor: (wanted: WantedSlot) => number | undefined;
  /** A slot where there is no saved one. */
  readonly fresh: (wanted: WantedSlot) => FilledSlot;
}

function decide(saved: SavedParameter, planned: PlannedParameter, wanted: readonly WantedSlot[]): Decision {
  const { value, step } = saved.state;
  const initial = ({ slot }: WantedSlot): FilledSlot => initialize(slot, planned, value);
  const isOfWrapper = ({ slot }: WantedSlot): boolean => prefixOf(slot.name) !== '';
  const isLate = ({ slot }: WantedSlot): boolean => slot.meaning?.joinsLate === true;
  // Averages of weights and the like do not depend on the count that is corrected for.
  const atCount = (updates: number) => (want: WantedSlot) =>
    isOfWrapper(want) && isLate(want) ? 1 : correction(saved, planned, want, updates);

  const missing = wanted.filter((want) => want.tensor === undefined && !isLate(want));
  if (missing.length === 0 || step === 0) return { updates: step, factor: atCount(step), fresh: initial };
  if (!countsUpdates(planned)) return { updates: step, factor: () => 1, fresh: initial };

  const afresh: Decision = {
    updates: 0,
    factor: (want) => (isOfWrapper(want) && isLate(want) ? 1 : undefined),
    fresh: initial,
  };
  // What starts at the parameter cannot be told from a gradient.
  if (missing.some(({ slot }) => typeof slot.start !== 'number')) return afresh;
  const mean = wanted.find((want) => !isOfWrapper(want) && want.slot.meaning?.of === words.meanOfGradient);
  const scale = mean && atCount(1)(mean);
  const beta = mean && decayOf(planned, mean.slot);
  if (mean?.tensor === undefined || scale === undefined || beta === undefined) return afresh;
  // The mean gradient: its first update, (1 − β)g, is what the average becomes.
  const gradient = scaled(mean.tensor, scale / (1 - beta));
  if (!gradient.data.every((x) => Number.isFinite(x))) return afresh;
  const seeds = firstUpdate(planned, gradient);
  const seeded = (want: WantedSlot): FilledSlot => {
    const seed = Object.hasOwn(seeds, want.slot.name) ? seeds[want.slot.name] : undefined;
    if (seed === undefined || typeof want.slot.start !== 'number') return initial(want);
    return { report: { name: want.slot.name, outcome: 'seeded' }, tensor: castTensor(seed, value.dtype) };
  };
  return { updates: 1, factor: atCount(1), fresh: seeded };
}

/**
 * What a slot has to be multiplied by so that its corrected value stays the same after `updates` updates; undefined if it
 * cannot stay.
 */
function correction(
  { state, pieces }: SavedParameter,
  planned: PlannedParameter,
  { slot, source = '' }: WantedSlot,
  updates: number,
): number | undefined {
  const held = meaningIn(state, source) ?? slot.meaning;
  if (slot.meaning?.decay === undefined || held?.decay === undefined) return state.step === updates ? 1 : undefined;
  const piece = pieces.find(({ prefix }) => prefix === prefixOf(source));
  const [old, now] = [piece?.hyperparameters[held.decay], decayOf(planned, slot)];
  if (typeof old !== 'number' || now === undefined) return undefined;
  if (state.step === 0 || (state.step === updates && old === now)) return 1;
  return (1 - now ** updates) / (1 - old ** state.step);
}

function decayOf({ group }: PlannedParameter, { name, meaning }: Slot): number | undefined {
  const piece = group.pieces.find(({ prefix }) => prefix === prefixOf(name));
  const value = meaning?.decay === undefined ? undefined : piece?.hyperparameters[meaning.decay];
  return typeof value === 'number' ? value : undefined;
}

/** The rule of a parameter without what is around it and without schedules. */
function ruleOf({ group: { pieces } }: PlannedParameter): Optimizer {
  const { component, hyperparameters, initial } = pieces[pieces.length - 1];
  return new Optimizer(new RuleNode({ component, hyperparameters, initial, schedules: {} }));
}

/** Whether the rule looks at how many updates there have been. */
function countsUpdates(planned: PlannedParameter): boolean {
  const { stages } = makePlan(ruleOf(planned), [planned]);
  const programs = stages.flatMap((stage) =>
    stage.kind === 'total' ? [stage.program] : stage.calls.map((c) => c.program),
  );
  return programs.some((program) => inputNames(program).includes('step'));
}

/** The rule's slots after a first update with this gradient. The parameter is 0, so that weight decay adds nothing. */
function firstUpdate(planned: PlannedParameter, gradient: TensorData): ParameterState['slots'] {
  const { name, shape, role, units } = planned;
  const value = filled(gradient.dtype, shape, 0);
  const parameter = { value, ...(role && { role }), ...(units && { units }) };
  const run = Run.start(referenceDevice(gradient.dtype), ruleOf(planned), { [name]: parameter });
  run.stepNow({
    evaluate: ({ gradients }) => {
      run.device.write(gradients[name], gradient.data);
      return {};
    },
  });
  return run.stateNow().parameters[name].slots;
}

/** A slot at its start. */
function initialize({ name, start, shape }: Slot, planned: PlannedParameter, value: TensorData): FilledSlot {
  const { dtype } = value;
  const sizes = concreteShape(shape, planned.shape, planned.extents);
  if (typeof start === 'number') {
    return { report: { name, outcome: 'initialized', initial: start }, tensor: filled(dtype, sizes, start) };
  }
  const tensor = filled(dtype, sizes, 0);
  const device = referenceDevice(dtype);
  const [[param, result]] = device.allocate([[value.data.length, tensor.data.length]]);
  device.write(param, value.data);
  const kernel = device.compile(start);
  const bound = kernel.bind([{ buffers: { param, start: result }, extents: planned.extents, shape: planned.shape }]);
  void bound.run([new Float64Array(start.instructions.length).fill(NaN)]);
  tensor.data.set(device.read(result) as FloatArray);
  return { report: { name, outcome: 'initialized' }, tensor };
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
  planned: PlannedParameter,
  slots: readonly FilledSlot[],
  dropped: readonly string[] = [],
): CarriedOver {
  const elements = slots.map(({ report, tensor }, i) => [report.name, fitted(tensor.data, planned.slots[i])] as const);
  return {
    parameter: parameterState(planned, { value: value.data.slice(), step, slots: new Map(elements) }),
    slots: [...slots.map(({ report }) => report), ...dropped.map((name) => ({ name, outcome: 'dropped' }) as const)],
  };
}

/** Elements in the format of a slot. */
function fitted(data: FloatArray, { dtype }: Slot): FloatArray {
  return dtype === 'float32' ? data : data.map((x) => dtype.round(x));
}
