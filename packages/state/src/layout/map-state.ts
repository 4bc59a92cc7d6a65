import {
  elementCount,
  filled,
  sameShape,
  type OptimizerConfig,
  type ParameterSpec,
  type ParameterState,
  type SlotMeaning,
  type SlotState,
  type StoredTensor,
  type TensorData,
  type TrainingState,
} from '@adakit/core';
import { matches, matchFromData, requireState } from '@adakit/core/states';
import { requireList } from '../file/given.js';
import { isLoadable, loadTensor } from '../file/stored-tensor.js';
import { mismatch, mapTensor } from './map-tensor.js';
import { MAPPING, type ParameterMapping } from './parameter-mapping.js';
import { axisMoves, moveSlot } from './slot-axes.js';

/**
 * The same training state under other names and layouts; nothing else changes. Slots of a parameter's own shape move as
 * it does. Slots along rows and columns of its matrix view go with them, and change places where these do. Running
 * statistics are mapped where a mapping names them and stay as they are otherwise. Parameter groups keep their
 * parameters, by their new names.
 *
 * @throws AdakitError `state-mismatch` when a mapping names a parameter that is not there, leaves (part of) one out, makes
 * one twice, does not fit a shape, or tears apart the rows and columns that a slot is along
 */
export function mapState(state: TrainingState, mappings: readonly ParameterMapping[]): TrainingState {
  requireState(state);
  requireList('invalid-mapping', 'mappings', mappings, ['from', 'to'], MAPPING);
  const { parameters, statistics = {} } = state;
  const unknown = mappings.find(({ from }) => !Object.hasOwn(parameters, from) && !Object.hasOwn(statistics, from));
  if (unknown) throw mismatch(`it maps "${unknown.from}", but the state has ${quoted(Object.keys(parameters))}`);
  const left = Object.keys(parameters).filter((name) => !mappings.some(({ from }) => from === name));
  if (left.length > 0) throw mismatch(`it leaves out ${quoted(left)}`);

  const ofParameters = mappings.filter(({ from }) => Object.hasOwn(parameters, from));
  requireWhole(ofParameters);
  const targets = new Map<string, ParameterMapping[]>();
  for (const mapping of ofParameters) targets.set(mapping.to, [...(targets.get(mapping.to) ?? []), mapping]);
  const { collected } = state;
  const without = [...targets].flatMap(([name, to]) =>
    to.every(({ from }) => collected?.without?.includes(from)) ? [name] : [],
  );
  return {
    ...state,
    optimizer: renameMatches(state.optimizer, specsOf(state), ofParameters),
    ...(collected?.without && { collected: { ...collected, without } }),
    parameters: Object.fromEntries([...targets].map(([name, to]) => [name, mapParameter(parameters, to)])),
    ...(state.statistics && { statistics: mapStatistics(state.statistics, mappings) }),
  };
}

/** The parameters of a state as groups look at them. */
export function specsOf({ parameters }: TrainingState): ParameterSpec[] {
  return Object.entries(parameters).map(([name, { value, role, units }]) => ({
    name,
    shape: value.shape,
    ...(role && { role }),
    ...(units && { units }),
  }));
}

/** Groups choose what became of the parameters that they chose. */
function renameMatches(
  config: OptimizerConfig,
  specs: readonly ParameterSpec[],
  mappings: readonly ParameterMapping[],
): OptimizerConfig {
  if (config.kind !== 'groups') {
    return config.inner ? { ...config, inner: renameMatches(config.inner, specs, mappings) } : config;
  }
  const groups = config.groups.map((group) => {
    const match = matchFromData(group.match);
    const chosen = specs.filter((spec) => matches(match, spec));
    const isChosen = ({ from }: ParameterMapping): boolean => chosen.some(({ name }) => name === from);
    const names = [...new Set(mappings.filter(isChosen).map(({ to }) => to))];
    const torn = mappings.find((mapping) => names.includes(mapping.to) && !isChosen(mapping));
    if (torn)
      throw mismatch(`"${torn.to}" would be made of parameters in the group "${group.name}" and of "${torn.from}"`);
    const { optimizer } = group;
    return {
      ...group,
      match: { names },
      ...(optimizer && {
        optimizer: renameMatches(
          optimizer,
          chosen,
          mappings.filter(({ to }) => names.includes(to)),
        ),
      }),
    };
  });
  return { ...config, groups, rest: renameMatches(config.rest, specs, mappings) };
}

/** Every part of every parameter is used, and every part of every result is made once. */
function requireWhole(mappings: readonly ParameterMapping[]): void {
  for (const [name, uses] of countParts(mappings, 'from')) {
    if (uses.includes(0)) throw mismatch(`it leaves out part ${uses.indexOf(0)} of "${name}"`);
  }
  const made = countParts(
    mappings.filter(({ addend }) => addend !== 'add'),
    'to',
  );
  for (const [name, times] of made) {
    if (times.some((count) => count > 1)) throw mismatch(`it maps two parameters to "${name}"`);
    if (times.includes(0)) throw mismatch(`it makes no part ${times.indexOf(0)} of "${name}"`);
  }
  const baseless = mappings.find(({ to }) => !made.has(to));
  if (baseless) throw mismatch(`nothing makes "${baseless.to}", to which "${baseless.from}" is added`);
}

/** How often each part of each tensor is named, by tensor. */
function countParts(mappings: readonly ParameterMapping[], end: 'from' | 'to'): Map<string, number[]> {
  const counts = new Map<string, number[]>();
  for (const mapping of mappings) {
    const name = mapping[end];
    const { index, of } = mapping[`${end}Part`] ?? { index: 0, of: 1 };
    const seen = counts.get(name) ?? new Array<number>(of).fill(0);
    if (seen.length !== of) throw mismatch(`it cuts "${name}" into ${seen.length} parts and into ${of}`);
    seen[index]++;
    counts.set(name, seen);
  }
  return counts;
}

/** The quantities that are weights, of another time or another average, and so are sums where the weights are. */
const OF_WEIGHTS = /^\w+\(param\)$/;

/** One parameter from all mappings that lead to it. */
function mapParameter(parameters: TrainingState['parameters'], mappings: readonly ParameterMapping[]): ParameterState {
  const bases = mappings.filter(({ addend }) => addend !== 'add');
  const [{ from: first, to }] = bases;
  const { step, slots, meanings, programHash, role } = parameters[first];
  const other = mappings.find(({ from }) => parameters[from].step !== step);
  if (other) {
    const steps = `"${first}" at step ${step} and "${other.from}" at step ${parameters[other.from].step}`;
    throw mismatch(`"${to}" would be made of ${steps}`);
  }
  /** What is a sum or an addend where the parameter is one: its value, and slots that hold weights. */
  const summed = (of: (parameter: ParameterState) => TensorData): TensorData =>
    join(
      bases,
      bases.map((mapping) => {
        const tensor = mapTensor(of(parameters[mapping.from]), mapping);
        if (mapping.addend === 'zero') tensor.data.fill(0);
        const addends = mappings.filter(
          (more) => more.addend === 'add' && more.toPart?.index === mapping.toPart?.index,
        );
        for (const more of addends) addTo(tensor, mapTensor(of(parameters[more.from]), more), more);
        return tensor;
      }),
    );
  const value = summed((parameter) => parameter.value);
  const units = bases[0].units ?? parameters[first].units;
  const slot = (name: string): SlotState => {
    const lacking = mappings.find(({ from }) => !Object.hasOwn(parameters[from].slots, name));
    if (lacking)
      throw mismatch(`"${to}" would be made of "${first}" with the slot "${name}" and "${lacking.from}" without`);
    const { axes } = slots[name];
    if (axes !== undefined)
      return mapAxes(name, parameters[first], bases, { shape: value.shape, units: units ?? 'first' });
    const meaning = meanings && Object.hasOwn(meanings, name) ? meanings[name].of : '';
    if (OF_WEIGHTS.test(meaning)) return { ...slots[name], ...summed((parameter) => parameter.slots[name]) };
    return {
      ...slots[name],
      ...join(
        bases,
        bases.map((mapping) => mapTensor(parameters[mapping.from].slots[name], mapping)),
      ),
    };
  };
  const moved = Object.fromEntries(Object.keys(slots).map((name) => [name, slot(name)]));
  return {
    value,
    step,
    slots: exchanged(slots, moved, meanings),
    ...(programHash !== undefined && { programHash }),
    ...(meanings && { meanings }),
    ...(role && { role }),
    ...(units && { units }),
  };
}

/** A slot that does not have its parameter's shape. */
function mapAxes(
  slot: string,
  { value, slots, units = 'first' }: ParameterState,
  mappings: readonly ParameterMapping[],
  target: { readonly shape: readonly number[]; readonly units: 'first' | 'last' },
): SlotState {
  const [mapping] = mappings;
  const { axes = [] } = slots[slot];
  const refuse = (reason: string): never => {
    const along = axes.length === 0 ? 'is one number of' : `is along [${axes.join(', ')}] of`;
    throw mismatch(`the slot "${slot}" ${along} "${mapping.from}", and ${reason}; adapt the state to start it afresh`);
  };
  if (mappings.length > 1 || mapping.fromPart) return refuse(`"${mapping.to}" is cut or joined`);
  if (axes.length === 0) return { ...slots[slot], data: slots[slot].data.slice() };
  const moves = axisMoves(mapping, { shape: value.shape, units }, target);
  return moves
    ? moveSlot(slots[slot], axes, moves)
    : refuse(`the rows and columns of "${mapping.to}" are not those of "${mapping.from}"`);
}

/** Where rows and columns change places, slots that are each other's counterpart along them change names. */
function exchanged(
  before: Readonly<Record<string, SlotState>>,
  after: Readonly<Record<string, SlotState>>,
  meanings: Readonly<Record<string, SlotMeaning>> = {},
): Record<string, SlotState> {
  const axes = (slot: SlotState): string => String(slot.axes);
  const counterpart = (name: string): string =>
    Object.keys(before).find(
      (other) =>
        axes(after[name]) !== axes(before[name]) &&
        axes(before[other]) === axes(after[name]) &&
        axes(after[other]) === axes(before[name]) &&
        Object.hasOwn(meanings, name) &&
        Object.hasOwn(meanings, other) &&
        meanings[other].of === meanings[name].of,
    ) ?? name;
  return Object.fromEntries(Object.keys(before).map((name) => [name, after[counterpart(name)]]));
}

/** The whole tensor from its parts. */
function join(mappings: readonly ParameterMapping[], tensors: readonly TensorData[]): TensorData {
  const [{ to, toPart, shape }] = mappings;
  if (toPart === undefined) return tensors[0];
  if (shape === undefined) throw mismatch(`the shape of "${to}", which is made of parts, is not given`);
  const whole = filled(tensors[0].dtype, shape, 0);
  const length = whole.data.length / toPart.of;
  mappings.forEach(({ from, toPart: { index } = toPart }, i) => {
    if (tensors[i].data.length !== length) {
      throw mismatch(`"${from}" has ${tensors[i].data.length} elements, a part of "${to}" has ${length}`);
    }
    whole.data.set(tensors[i].data, index * length);
  });
  return whole;
}

function addTo(target: TensorData, addend: TensorData, { from, to }: ParameterMapping): void {
  if (!sameShape(target.shape, addend.shape)) {
    throw mismatch(`"${from}" has shape [${addend.shape.join(', ')}], "${to}" has [${target.shape.join(', ')}]`);
  }
  addend.data.forEach((x, i) => (target.data[i] += x));
}

function mapStatistics(
  statistics: NonNullable<TrainingState['statistics']>,
  mappings: readonly ParameterMapping[],
): NonNullable<TrainingState['statistics']> {
  const cut = mappings.find(
    (mapping, i) =>
      Object.hasOwn(statistics, mapping.from) &&
      (mapping.fromPart ??
        mapping.toPart ??
        mapping.addend ??
        mappings.findIndex(({ from }) => from === mapping.from) !== i),
  );
  if (cut) throw mismatch(`the statistic "${cut.from}" is cut, joined or added up, which only parameters are`);
  const mapped = Object.entries(statistics).map(([name, tensor]) => {
    const mapping = mappings.find(({ from }) => from === name);
    if (mapping === undefined) return [name, tensor] as const;
    return [mapping.to, 'bytes' in tensor ? mapStored(tensor, mapping) : mapTensor(tensor, mapping)] as const;
  });
  const names = mapped.map(([name]) => name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw mismatch(`it makes the statistic "${twice}" twice`);
  return Object.fromEntries(mapped);
}

/** Counts and the like, which are no real numbers, can have another name and shape, but not another order. */
function mapStored(tensor: StoredTensor, mapping: ParameterMapping): StoredTensor | TensorData {
  if (isLoadable(tensor.dtype)) return mapTensor(loadTensor(tensor), mapping);
  const index = Float64Array.from({ length: elementCount(tensor.shape) }, (_, i) => i);
  const moved = mapTensor({ dtype: 'float64', shape: tensor.shape, data: index }, mapping);
  if (moved.data.every((from, i) => from === i)) return { ...tensor, shape: moved.shape };
  throw mismatch(`"${mapping.from}" has ${tensor.dtype} elements, which are not put into another order`);
}

function quoted(names: readonly string[]): string {
  return names.map((name) => `"${name}"`).join(', ');
}
