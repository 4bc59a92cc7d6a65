import {
  concreteShape,
  elementCount,
  matrixExtents,
  sameShape,
  type ParameterState,
  type SlotMeaning,
  type SlotState,
  type StoredDType,
  type StoredTensor,
  type TensorData,
  type TrainingState,
} from '@adakit/core';
import { requireState } from '@adakit/core/states';
import { FORMAT_VERSION, type KeptRule, type ParameterEntry, type SlotEntry, type StateDocument } from './document.js';
import { quote, StateFileError } from './error.js';
import type { TensorInfo } from './header.js';
import { firstNonFinite, isLoadable, loadTensor, narrowFormat, storeNarrow, storeTensor } from './stored-tensor.js';

/** A training state as a file has it. */
export interface StateContents {
  readonly document: StateDocument;
  /** By name in the file: `param/<parameter>`, `slot/<slot>/<parameter>`, `statistic/<name>`. */
  readonly tensors: ReadonlyMap<string, StoredTensor>;
}

/** Which tensor of a file is what. */
export interface StateLayout {
  /** By parameter. */
  readonly parameters: ReadonlyMap<string, ParameterLayout>;
  /** Name in the file by statistic. */
  readonly statistics: ReadonlyMap<string, string>;
}

interface ParameterLayout {
  /** Name of its tensor in the file. */
  readonly value: string;
  readonly entry: ParameterEntry;
  readonly rule: KeptRule;
  /** Name in the file by slot. */
  readonly slots: Map<string, string>;
}

/** Slot names have no slash, so what follows the second one is the parameter, slashes and all. */
const TENSOR_NAME = /^(?:param\/(?<parameter>.+)|slot\/(?<slot>[^/]+)\/(?<of>.+)|statistic\/(?<statistic>.+))$/s;

/**
 * A training state as a file has it; tensors share memory with `state`.
 *
 * @param metric how good the state is
 */
export function contentsOf(state: TrainingState, file: string, metric?: number): StateContents {
  requireState(state);
  const { optimizer, step, origin, versions, parameters, statistics = {} } = state;
  const tensors = new Map<string, StoredTensor>();
  const add = (name: string, tensor: TensorData | StoredTensor, narrow?: SlotState['narrow']): void => {
    const place = { file, tensor: name };
    if (!TENSOR_NAME.test(name)) throw new StateFileError('invalid-name', 'a name is empty or has a slash', place);
    if ('bytes' in tensor) {
      tensors.set(name, tensor);
      return;
    }
    if (tensor.data.length !== elementCount(tensor.shape)) {
      const problem = `shape [${tensor.shape.join(', ')}] does not have ${tensor.data.length} elements`;
      throw new StateFileError('size-mismatch', problem, place);
    }
    tensors.set(name, narrow === undefined ? storeTensor(tensor) : storeNarrow(tensor, narrow, place));
  };
  const rules = new Map<string, { readonly index: number; readonly rule: KeptRule }>();
  const entries = new Map<string, ParameterEntry>();
  for (const [name, parameter] of Object.entries(parameters)) {
    add(`param/${name}`, parameter.value);
    for (const [slot, tensor] of Object.entries(parameter.slots)) {
      if (slot.includes('/')) throw new StateFileError('invalid-name', `the slot ${quote(slot)} has a slash`, { file });
      add(`slot/${slot}/${name}`, tensor, tensor.narrow);
    }
    const rule = keptRule(parameter);
    const key = JSON.stringify(rule);
    const { index } = rules.get(key) ?? { index: rules.size };
    rules.set(key, { index, rule });
    const entry: ParameterEntry = {
      ...(parameter.step !== step && { step: parameter.step }),
      ...(index > 0 && { rule: index }),
      ...(parameter.role && { role: parameter.role }),
      ...(parameter.units && { units: parameter.units }),
    };
    if (Object.keys(entry).length > 0) entries.set(name, entry);
  }
  for (const [name, tensor] of Object.entries(statistics)) add(`statistic/${name}`, tensor);
  const document: StateDocument = {
    formatVersion: FORMAT_VERSION,
    optimizer,
    step,
    rules: [...rules.values()].map(({ rule }) => rule),
    parameters: entries,
    ...carried(state),
    origin: { backend: origin, ...(versions === undefined ? {} : { versions }) },
    ...(metric === undefined ? {} : { metric }),
  };
  return { document, tensors };
}

function keptRule({ programHash, slots, meanings = {} }: ParameterState): KeptRule {
  const known = Object.entries(slots).flatMap(([slot, { axes }]): [string, SlotEntry][] => {
    const meaning = Object.hasOwn(meanings, slot) ? meanings[slot] : undefined;
    return axes === undefined && meaning === undefined ? [] : [[slot, { ...meaning, ...(axes && { axes }) }]];
  });
  return {
    ...(programHash !== undefined && { programHash }),
    ...(known.length > 0 && { slots: Object.fromEntries(known) }),
  };
}

/**
 * Finds out which tensor is what.
 *
 * @throws StateFileError for a tensor that is nothing, has an element type or shape it cannot have, or lacks its parameter
 */
export function layoutOf(document: StateDocument, tensors: ReadonlyMap<string, TensorInfo>, file: string): StateLayout {
  const parameters = new Map<string, ParameterLayout>();
  const statistics = new Map<string, string>();
  const slots: { slot: string; of: string; tensor: string }[] = [];
  for (const [tensor, { dtype }] of tensors) {
    const place = { file, tensor };
    const { parameter, slot, of, statistic } = nameParts(tensor);
    if (statistic !== undefined) {
      statistics.set(statistic, tensor);
      continue;
    }
    if (parameter !== undefined) {
      const entry = document.parameters.get(parameter) ?? {};
      const rule = document.rules.at(entry.rule ?? 0) ?? {};
      parameters.set(parameter, { value: tensor, entry, rule, slots: new Map() });
    } else if (slot !== undefined && of !== undefined) {
      slots.push({ slot, of, tensor });
    } else {
      const problem = 'a state has only param/<parameter>, slot/<slot>/<parameter> and statistic/<name>';
      throw new StateFileError('unknown-tensor', problem, place);
    }
    if (!isLoadable(dtype)) {
      throw new StateFileError('wrong-dtype', `it has ${dtype} elements; F64, F32, F16 and BF16 can be trained`, place);
    }
  }
  for (const { slot, of, tensor } of slots) {
    const parameter = parameters.get(of);
    if (parameter === undefined) {
      throw new StateFileError('missing-parameter', `there is no parameter ${quote(of)}`, { file, tensor });
    }
    const [own, actual] = [shapeOf(tensors, parameter.value), shapeOf(tensors, tensor)];
    const { axes } = slotEntry(parameter.rule, slot);
    const expected = axes === undefined ? own : slotShape(axes, own, parameter.entry.units);
    if (!sameShape(expected, actual)) {
      const wanted = axes === undefined ? "its parameter's is" : `its axes [${axes.join(', ')}] make`;
      const problem = `its shape is [${actual.join(', ')}], ${wanted} [${expected.join(', ')}]`;
      throw new StateFileError('slot-shape', problem, { file, tensor });
    }
    parameter.slots.set(slot, tensor);
  }
  for (const name of document.parameters.keys()) {
    if (parameters.has(name)) continue;
    throw new StateFileError('missing-parameter', `the document names ${quote(name)}, which is not there`, { file });
  }
  return { parameters, statistics };
}

function nameParts(tensor: string): { readonly [part in 'parameter' | 'slot' | 'of' | 'statistic']?: string } {
  return TENSOR_NAME.exec(tensor)?.groups ?? {};
}

/** The training state of a document and its tensors; shares memory with what `tensor` returns. */
export function assembleState(
  document: StateDocument,
  { parameters, statistics }: StateLayout,
  tensor: (name: string) => StoredTensor,
): TrainingState {
  const { optimizer, step, origin } = document;
  const real = (name: string): TensorData => loadTensor(tensor(name), { tensor: name });
  const slotState = (rule: KeptRule, slot: string, name: string): SlotState => {
    const { axes } = slotEntry(rule, slot);
    const stored = tensor(name);
    const narrow = narrowFormat(stored.dtype);
    return { ...loadTensor(stored, { tensor: name }), ...(axes && { axes }), ...(narrow && { narrow }) };
  };
  const parameter = ({ value, entry, rule, slots }: ParameterLayout): ParameterState => {
    const { step: updates = step, role, units } = entry;
    const meanings = [...slots.keys()].flatMap((slot) => {
      const meaning = meaningOf(slotEntry(rule, slot));
      return meaning ? [[slot, meaning] as const] : [];
    });
    return {
      value: real(value),
      step: updates,
      slots: Object.fromEntries([...slots].map(([slot, name]) => [slot, slotState(rule, slot, name)])),
      ...(rule.programHash !== undefined && { programHash: rule.programHash }),
      ...(meanings.length > 0 && { meanings: Object.fromEntries(meanings) }),
      ...(role && { role }),
      ...(units && { units }),
    };
  };
  const statistic = (name: string): TensorData | StoredTensor => {
    const stored = tensor(name);
    return stored.dtype === 'F32' || stored.dtype === 'F64' ? loadTensor(stored) : stored;
  };
  return {
    optimizer,
    step,
    parameters: record(parameters, parameter),
    ...carried(document),
    ...(statistics.size === 0 ? {} : { statistics: record(statistics, statistic) }),
    origin: origin.backend,
    ...(origin.versions === undefined ? {} : { versions: origin.versions }),
  };
}

/** What states and documents say in the same way. */
const CARRIED = ['globals', 'collected', 'lossScale', 'plateaus', 'skipped', 'random', 'data'] as const;

type Carried = Pick<TrainingState & StateDocument, (typeof CARRIED)[number]>;

function carried(from: Carried): Carried {
  return Object.fromEntries(CARRIED.flatMap((key) => (from[key] === undefined ? [] : [[key, from[key]]])));
}

function meaningOf({ of, decay, joinsLate }: SlotEntry): SlotMeaning | undefined {
  if (of === undefined) return undefined;
  return { of, ...(decay !== undefined && { decay }), ...(joinsLate !== undefined && { joinsLate }) };
}

/** What the document says of a slot. */
function slotEntry({ slots = {} }: KeptRule, slot: string): SlotEntry {
  return Object.hasOwn(slots, slot) ? slots[slot] : {};
}

function slotShape(
  axes: NonNullable<SlotState['axes']>,
  parameter: readonly number[],
  units: ParameterEntry['units'],
): readonly number[] {
  return axes.length === 0 ? [] : concreteShape(axes, parameter, matrixExtents(parameter, units));
}

/**
 * Infinities and NaN are not allowed in parameters and slots.
 *
 * @param bytes the tensor's, or a part of them that begins with element `first`
 */
export function requireFinite(name: string, dtype: StoredDType, bytes: Uint8Array, file: string, first = 0): void {
  if (name.startsWith('statistic/')) return;
  const element = firstNonFinite(dtype, bytes);
  if (element === undefined) return;
  throw new StateFileError('non-finite', `element ${first + element} is infinite or NaN`, { file, tensor: name });
}

/** `Object.fromEntries` defines own properties, so that no name, not even `__proto__`, reaches a prototype. */
function record<A, B>(map: ReadonlyMap<string, A>, convert: (value: A) => B): Record<string, B> {
  return Object.fromEntries([...map].map(([name, value]) => [name, convert(value)]));
}

function shapeOf(tensors: ReadonlyMap<string, TensorInfo>, name: string): readonly number[] {
  return tensors.get(name)?.shape ?? [];
}
