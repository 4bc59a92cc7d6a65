import { AdakitError } from '../errors.js';
import { matches } from '../optimizer/optimizer.js';
import { loadTensor } from '../state-file/stored-tensor.js';
import { elementCount, filled, sameShape, type TensorData } from '../tensor/tensor-data.js';
import type { ParameterMapping } from './parameter-mapping.js';
import { parameterGroup, type ParameterState, type TrainingState } from './training-state.js';

/**
 * The same training state under other names and layouts; nothing else changes. Running statistics are mapped where a
 * mapping names them and stay as they are otherwise. Parameter groups stay with their parameters: each becomes one group
 * per parameter that it matches, under the new names.
 *
 * @throws AdakitError `state-mismatch` when a mapping names a parameter that is not there, leaves (part of) one out, makes
 * one twice, or does not fit a shape
 */
export function mapState(state: TrainingState, mappings: readonly ParameterMapping[]): TrainingState {
  const { parameters, statistics = {} } = state;
  const unknown = mappings.find(({ from }) => !Object.hasOwn(parameters, from) && !Object.hasOwn(statistics, from));
  if (unknown) throw mismatch(`it maps "${unknown.from}", but the state has ${quoted(Object.keys(parameters))}`);
  const left = Object.keys(parameters).filter((name) => !mappings.some(({ from }) => from === name));
  if (left.length > 0) throw mismatch(`it leaves out ${quoted(left)}`);

  const ofParameters = mappings.filter(({ from }) => Object.hasOwn(parameters, from));
  requireWhole(ofParameters);
  const groups = state.optimizer.groups.flatMap((group) => {
    const matching = ofParameters.filter(({ from }) => matches(parameterGroup(group).match, from));
    return [...new Set(matching.map(({ to }) => to))].map((to) => ({ ...group, match: to }));
  });
  const targets = new Map<string, ParameterMapping[]>();
  for (const mapping of ofParameters) targets.set(mapping.to, [...(targets.get(mapping.to) ?? []), mapping]);
  return {
    ...state,
    optimizer: { ...state.optimizer, groups },
    parameters: Object.fromEntries([...targets].map(([name, to]) => [name, mapParameter(parameters, to)])),
    ...(state.statistics && { statistics: mapStatistics(state.statistics, mappings) }),
  };
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

/** One parameter from all mappings that lead to it. */
function mapParameter(parameters: TrainingState['parameters'], mappings: readonly ParameterMapping[]): ParameterState {
  const bases = mappings.filter(({ addend }) => addend !== 'add');
  const [{ from: first, to }] = bases;
  const { step, slots } = parameters[first];
  const other = mappings.find(({ from }) => parameters[from].step !== step);
  if (other) {
    const steps = `"${first}" at step ${step} and "${other.from}" at step ${parameters[other.from].step}`;
    throw mismatch(`"${to}" would be made of ${steps}`);
  }
  const values = bases.map((mapping) => {
    const tensor = mapTensor(parameters[mapping.from].value, mapping);
    if (mapping.addend === 'zero') tensor.data.fill(0);
    const addends = mappings.filter((more) => more.addend === 'add' && more.toPart?.index === mapping.toPart?.index);
    for (const more of addends) addTo(tensor, mapTensor(parameters[more.from].value, more), more);
    return tensor;
  });
  const slot = (name: string): TensorData => {
    const lacking = bases.find(({ from }) => !Object.hasOwn(parameters[from].slots, name));
    if (lacking)
      throw mismatch(`"${to}" would be made of "${first}" with the slot "${name}" and "${lacking.from}" without`);
    return join(
      bases,
      bases.map((mapping) => mapTensor(parameters[mapping.from].slots[name], mapping)),
    );
  };
  return {
    value: join(bases, values),
    step,
    slots: Object.fromEntries(Object.keys(slots).map((name) => [name, slot(name)])),
  };
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
  const mapped = Object.entries(statistics).map(([name, tensor]) => {
    const mapping = mappings.find(({ from }) => from === name);
    if (mapping === undefined) return [name, tensor] as const;
    return [mapping.to, mapTensor('bytes' in tensor ? loadTensor(tensor) : tensor, mapping)] as const;
  });
  const names = mapped.map(([name]) => name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw mismatch(`it makes the statistic "${twice}" twice`);
  return Object.fromEntries(mapped);
}

/** One tensor in the layout that `mapping` leads to; a copy. With `toPart` it is the part. */
export function mapTensor(tensor: TensorData, mapping: ParameterMapping): TensorData {
  const { fromPart = { index: 0, of: 1 }, reorder, toPart } = mapping;
  const length = tensor.data.length / fromPart.of;
  const view = mapping.view ?? tensor.shape;
  const permute = mapping.permute ?? view.map((_, axis) => axis);
  const permuted = permute.map((axis) => view[axis]);
  const shape = toPart ? permuted : (mapping.shape ?? permuted);
  const fits =
    isPermutation(permute, view.length) &&
    [view, shape].every((s) => elementCount(s) === length) &&
    (reorder === undefined || isPermutation(reorder.order, permuted[reorder.axis]));
  if (!fits) {
    throw mismatch(
      `"${mapping.from}" of shape [${tensor.shape.join(', ')}] cannot be ${fromPart.of === 1 ? '' : `cut into ${fromPart.of}, `}` +
        `viewed as [${view.join(', ')}], permuted by [${permute.join(', ')}] and ` +
        `${reorder ? `along axis ${reorder.axis} by [${reorder.order.join(', ')}] and ` : ''}viewed as [${shape.join(', ')}]`,
    );
  }
  const source = tensor.data.subarray(fromPart.index * length, (fromPart.index + 1) * length);
  return { ...tensor, shape, data: permuteElements(source, view, permute, reorder) };
}

function isPermutation(order: readonly number[], length: number): boolean {
  return order.length === length && order.every((_, i) => order.includes(i));
}

function permuteElements(
  data: TensorData['data'],
  shape: readonly number[],
  permute: readonly number[],
  reorder?: ParameterMapping['reorder'],
): TensorData['data'] {
  if (permute.every((axis, i) => axis === i) && reorder === undefined) return data.slice();
  const strides = shape.map((_, axis) => elementCount(shape.slice(axis + 1)));
  const sizes = permute.map((axis) => shape[axis]);
  /** Where slice i along each axis of the result begins in the source. */
  const offsets = sizes.map((length, axis) =>
    Array.from({ length }, (_, i) => (reorder?.axis === axis ? reorder.order[i] : i) * strides[permute[axis]]),
  );
  const result = data.slice();
  const position = sizes.map(() => 0);
  let source = offsets.reduce((sum, [first = 0]) => sum + first, 0);
  for (let target = 0; target < result.length; target++) {
    result[target] = data[source];
    // Advance the mixed-radix counter, innermost axis first.
    for (let axis = sizes.length - 1; axis >= 0; axis--) {
      source -= offsets[axis][position[axis]];
      position[axis] = (position[axis] + 1) % sizes[axis];
      source += offsets[axis][position[axis]];
      if (position[axis] > 0) break;
    }
  }
  return result;
}

function mismatch(problem: string): AdakitError {
  return new AdakitError('state-mismatch', `the parameter mapping does not fit: ${problem}`);
}

function quoted(names: readonly string[]): string {
  return names.map((name) => `"${name}"`).join(', ');
}
