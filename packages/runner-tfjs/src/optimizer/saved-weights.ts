import type { KeptState, Optimizer, OverallState, SlotState, TrainingState } from '@adakit/core';
import { AdakitError, concreteShape, makePlan, sameShape } from '@adakit/core/runner';
import { keptState } from '@adakit/core/states';
import { keep, scalar, tensor, type Tensor, type Variable } from '@tensorflow/tfjs-core';
import { assertDistinct } from './distinct.js';
import { matchByName } from './match-by-name.js';
import { parameterOf } from './variables.js';

/**
 * Optimizer weights as TensorFlow.js saves them, a list of named tensors:
 *
 * - `iterations`: steps taken, a rank-0 int32;
 * - `<variable>/<slot>`: a slot;
 * - `<variable>/iterations`: updates of that variable, a rank-0 int32; left out when they equal the steps taken and the
 *   variable has slots to be known by;
 * - `run`: JSON of everything else that a run keeps (loss scale, collected batches, …), a rank-0 string; left out when
 *   there is nothing.
 */
const iterations = 'iterations';
const rest = 'run';

/** As in TensorFlow.js, which does not export it. */
export interface NamedTensor {
  name: string;
  tensor: Tensor;
}

/** What was kept for a variable when it was saved. */
export interface SavedRecord extends KeptState {
  readonly name: string;
}

/**
 * The part of a state that weights hold, as new tensors, kept; the caller disposes them.
 *
 * @param waiting what was read before and has not met its variables yet
 */
export function nameWeights(state: TrainingState, waiting: SavedSlots | undefined): NamedTensor[] {
  const { step: steps, collected, lossScale, plateaus, skipped, parameters } = state;
  // A run that has not all of its variables yet lacks the numbers of the others.
  const globals = (state.globals ?? waiting?.globals) && { ...waiting?.globals, ...state.globals };
  const all = { globals, collected, lossScale, plateaus, skipped };
  const others = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
  const trained = Object.entries(parameters).map(([name, kept]) => ({ name, ...keptState(kept) }));
  const records: readonly SavedRecord[] = [...trained, ...(waiting?.records ?? [])];
  const count = (name: string, value: number): NamedTensor => ({ name, tensor: keep(scalar(value, 'int32')) });
  const weights = [count(iterations, steps)];
  for (const { name, step, slots } of records) {
    for (const [slot, { data, shape }] of Object.entries(slots)) {
      weights.push({ name: `${name}/${slot}`, tensor: keep(tensor(Float32Array.from(data), [...shape], 'float32')) });
    }
    if (step !== steps || Object.keys(slots).length === 0) weights.push(count(`${name}/${iterations}`, step));
  }
  if (Object.keys(others).length > 0) {
    weights.push({ name: rest, tensor: keep(scalar(JSON.stringify(others, writtenNumber), 'string')) });
  }
  return weights;
}

/**
 * Reads weights that {@link nameWeights} named, in any order; copies.
 *
 * @throws AdakitError `state-mismatch` when they are not this optimizer's
 */
export async function readWeights(
  weights: readonly NamedTensor[],
  optimizer: Optimizer,
): Promise<{ readonly overall: OverallState; readonly slots: SavedSlots }> {
  const given: unknown = weights;
  if (!Array.isArray(given) || !given.every(isWeight)) throw mismatch('each must be { name, tensor }');
  const byName = new Map(weights.map(({ name, tensor }) => [name, tensor]));
  const total = byName.get(iterations);
  if (total === undefined) throw mismatch(`there is no "${iterations}" among them`);
  if (byName.size < weights.length) throw mismatch('two have the same name');
  const others = byName.get(rest);
  byName.delete(iterations);
  byName.delete(rest);

  const found = new Map<string, { slots: Map<string, Tensor>; count: Tensor }>();
  for (const [name, tensor] of byName) {
    const slash = name.lastIndexOf('/');
    const [variable, leaf] = [name.slice(0, Math.max(slash, 0)), name.slice(slash + 1)];
    const entry = found.get(variable) ?? { slots: new Map<string, Tensor>(), count: total };
    found.set(variable, entry);
    if (slash > 0 && leaf === iterations) entry.count = tensor;
    else entry.slots.set(leaf, tensor);
  }
  for (const [variable, { slots }] of found) {
    const sets = slotSets(optimizer, variable, slots);
    const known = new Set(sets.flat());
    const stranger = [...slots.keys()].find((slot) => variable === '' || !known.has(slot));
    if (stranger !== undefined) {
      const name = variable === '' ? stranger : `${variable}/${stranger}`;
      throw mismatch(`"${name}" is not a slot of ${String(optimizer)} (slots: ${[...known].join(', ') || 'none'})`);
    }
    const missing = sets.map((names) => names.filter((slot) => !slots.has(slot)));
    if (missing.every((names) => names.length > 0)) throw mismatch(`"${variable}/${missing[0][0]}" is missing`);
  }
  const overall = { step: await readCount(total), ...(others && (await readRest(others))) };
  const records: SavedRecord[] = [];
  for (const [name, { slots, count }] of found) {
    const entries: [string, SlotState][] = [];
    for (const [slot, source] of slots) {
      // A copy: the cpu backend hands out the array that it keeps.
      const data = Float32Array.from(await source.data<'float32'>());
      entries.push([slot, { dtype: 'float32', shape: [...source.shape], data }]);
    }
    records.push({ name, ...keptState({ step: await readCount(count), slots: Object.fromEntries(entries) }) });
  }
  return { overall, slots: new SavedSlots(records, overall.globals) };
}

/** What was kept for variables that have not turned up yet. */
export class SavedSlots {
  readonly records: readonly SavedRecord[];
  /** Numbers of all variables together, for which a run has no place before it has variables. */
  readonly globals: OverallState['globals'];

  constructor(records: readonly SavedRecord[], globals: OverallState['globals']) {
    this.records = records;
    this.globals = globals;
  }

  /**
   * What was kept for variables; see {@link matchByName}. Records may be left over (their variables get no gradients now),
   * and so may variables (they start afresh), but not both: they might belong together.
   *
   * @throws AdakitError `state-mismatch` when both records and variables are left over, `invalid-state` when two variables would
   * have one name
   */
  of(variables: readonly Variable[], optimizer: Optimizer): ReadonlyMap<Variable, SavedRecord> {
    const matches = matchByName(this.records, variables, {
      fits: (record, variable) => fits(record, variable, optimizer),
    });
    const found = new Map([...matches].map(([record, variable]) => [variable, record]));
    const saved = this.records.filter((record) => !matches.has(record));
    const free = variables.filter((variable) => !found.has(variable));
    if (saved.length > 0 && free.length > 0) {
      throw mismatch(
        `those of ${saved.map(recordText).join(', ')} cannot be assigned to ` +
          `${free.map(({ name, shape }) => `"${name}" ${shapeText(shape)}`).join(', ')}; ` +
          'leave them out, or train the variables they were saved for',
      );
    }
    assertDistinct(variables.map((variable) => found.get(variable)?.name ?? variable.name));
    return found;
  }

  /** The others, once some have met their variables; `undefined` for none. */
  without(names: readonly string[]): SavedSlots | undefined {
    const others = this.records.filter(({ name }) => !names.includes(name));
    return others.length > 0 ? new SavedSlots(others, this.globals) : undefined;
  }

  /** @throws AdakitError `invalid-state` while a state would lack what these belong to */
  assertMet(): void {
    if (this.records.length === 0) return;
    throw new AdakitError(
      'invalid-state',
      `the weights from setWeights() for ${this.records.map(({ name }) => `"${name}"`).join(', ')} have not met their ` +
        'variables yet; take a step with them first',
    );
  }
}

/** Whether the slots are those of such a variable, by name and shape. */
function fits({ name, slots }: SavedRecord, variable: Variable, optimizer: Optimizer): boolean {
  const plan = makePlan(optimizer, [parameterOf(variable, name)], { allowEmptyGroups: true });
  const [{ slots: expected, shape, extents }] = plan.parameters;
  return (
    Object.keys(slots).length === expected.length &&
    expected.every(
      (slot) =>
        Object.hasOwn(slots, slot.name) && sameShape(slots[slot.name].shape, concreteShape(slot.shape, shape, extents)),
    )
  );
}

/**
 * The slots that a variable may have, which depends on the rule that groups choose for it, and on its shape. That is not known
 * yet: it is one of its slots' as a rule, and has two axes or one.
 */
function slotSets(optimizer: Optimizer, variable: string, saved: ReadonlyMap<string, Tensor>): string[][] {
  const shapes = [[1, 1], [1], ...[...saved.values()].map(({ shape }) => shape)];
  return shapes.flatMap((shape) => {
    try {
      const plan = makePlan(optimizer, [parameterOf({ shape }, variable)], { allowEmptyGroups: true });
      return [plan.parameters[0].slots.map(({ name }) => name)];
    } catch {
      // The rule is for no variable of such a shape.
      return [];
    }
  });
}

function isWeight(given: unknown): boolean {
  const { name, tensor } = Object(given) as Partial<NamedTensor>;
  return name?.at !== undefined && tensor?.data !== undefined;
}

async function readCount(tensor: Tensor): Promise<number> {
  const [value] = await tensor.data();
  if (tensor.size === 1 && Number.isSafeInteger(value) && value >= 0) return value;
  throw mismatch(`a step count is ${value} of shape ${shapeText(tensor.shape)}`);
}

async function readRest(source: Tensor): Promise<Omit<OverallState, 'step'>> {
  const [text] = await source.data<'string'>();
  try {
    return JSON.parse(text, readNumber) as Omit<OverallState, 'step'>;
  } catch {
    throw mismatch(`"${rest}" is not JSON`);
  }
}

/** A number that JSON has no text for becomes its name. */
function writtenNumber(_: string, value: unknown): unknown {
  return typeof value === 'number' && !Number.isFinite(value) ? String(value) : value;
}

/** Its inverse: all text but names, which are in lists, is a number. */
function readNumber(this: unknown, _: string, value: unknown): unknown {
  return typeof value === 'string' && !Array.isArray(this) ? Number(value) : value;
}

function recordText({ name, slots }: SavedRecord): string {
  const [shape] = Object.values(slots).map((slot) => ` ${shapeText(slot.shape)}`);
  return `"${name}"${Object.keys(slots).length === 0 ? '' : shape}`;
}

function shapeText(shape: readonly number[]): string {
  return `[${shape.join(', ')}]`;
}

function mismatch(problem: string): AdakitError {
  return new AdakitError('state-mismatch', `these optimizer weights do not fit: ${problem}`);
}
