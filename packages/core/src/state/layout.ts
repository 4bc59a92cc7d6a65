import { AdakitError } from '../errors.js';
import { elementCount, type TensorData } from '../tensor/tensor-data.js';
import { matches } from '../optimizer/optimizer.js';
import { parameterGroup, type ParameterState, type TrainingState } from './training-state.js';

/**
 * How one parameter of a run corresponds to one of another framework. The elements are viewed in shape `view`, their
 * axes permuted, and the result viewed in shape `shape`; slots move the same way.
 *
 * A TensorFlow.js convolution kernel (height, width, in, out) becomes an ONNX one (out, in, height, width) by
 * `permute: [3, 2, 0, 1]`. A dense kernel after a flattened NHWC image becomes the transposed one after NCHW by
 * `view: [h, w, c, out], permute: [3, 2, 0, 1], shape: [out, c * h * w]`.
 */
export interface ParameterMapping {
  readonly from: string;
  readonly to: string;
  /** Shape in which axes are permuted; default: the tensor's own. */
  readonly view?: readonly number[];
  /** Axis i of the result is axis `permute[i]` of the view; default: unchanged. */
  readonly permute?: readonly number[];
  /** Shape of the result; default: the permuted view's. */
  readonly shape?: readonly number[];
}

/**
 * The same training state under other names and layouts; nothing else changes. Parameter groups stay with their
 * parameters: each becomes one group per parameter that it matches, under the new names.
 *
 * @throws AdakitError when a mapping names a parameter that is not there, leaves one out, maps two to one name, or does
 * not fit a shape
 */
export function mapState(state: TrainingState, mappings: readonly ParameterMapping[]): TrainingState {
  const parameters: Record<string, ParameterState> = {};
  for (const mapping of mappings) {
    if (!Object.hasOwn(state.parameters, mapping.from)) {
      throw mismatch(`it maps "${mapping.from}", but the state has ${quoted(Object.keys(state.parameters))}`);
    }
    if (Object.hasOwn(parameters, mapping.to)) throw mismatch(`it maps two parameters to "${mapping.to}"`);
    const { value, step, slots } = state.parameters[mapping.from];
    parameters[mapping.to] = {
      value: mapTensor(value, mapping),
      step,
      slots: Object.fromEntries(Object.entries(slots).map(([name, slot]) => [name, mapTensor(slot, mapping)])),
    };
  }
  const left = Object.keys(state.parameters).filter((name) => !mappings.some(({ from }) => from === name));
  if (left.length > 0) throw mismatch(`it leaves out ${quoted(left)}`);
  const groups = state.optimizer.groups.flatMap((group) =>
    mappings
      .filter(({ from }) => matches(parameterGroup(group).match, from))
      .map(({ to }) => ({ ...group, match: to })),
  );
  return { ...state, optimizer: { ...state.optimizer, groups }, parameters };
}

/** One tensor in the layout that `mapping` leads to; a copy. */
export function mapTensor(tensor: TensorData, mapping: ParameterMapping): TensorData {
  const view = mapping.view ?? tensor.shape;
  const permute = mapping.permute ?? view.map((_, axis) => axis);
  const permuted = permute.map((axis) => view[axis]);
  const shape = mapping.shape ?? permuted;
  const isPermutation = view.every((_, axis) => permute.includes(axis)) && permute.length === view.length;
  if (!isPermutation || ![view, shape].every((s) => elementCount(s) === tensor.data.length)) {
    throw mismatch(
      `"${mapping.from}" of shape [${tensor.shape.join(', ')}] cannot be viewed as [${view.join(', ')}], ` +
        `permuted by [${permute.join(', ')}] and viewed as [${shape.join(', ')}]`,
    );
  }
  return { ...tensor, shape, data: permuteElements(tensor.data, view, permute) };
}

/**
 * The mappings that undo `mappings`.
 *
 * @param shapes the shape of every parameter in the original layout, by name
 * @throws AdakitError when a mapped parameter has no shape there
 */
export function inverseMappings(
  mappings: readonly ParameterMapping[],
  shapes: Readonly<Record<string, readonly number[]>>,
): ParameterMapping[] {
  return mappings.map((mapping) => {
    if (!Object.hasOwn(shapes, mapping.from)) throw mismatch(`the shape of "${mapping.from}" is not given`);
    const original = shapes[mapping.from];
    const view = mapping.view ?? original;
    const permute = mapping.permute ?? view.map((_, axis) => axis);
    return {
      from: mapping.to,
      to: mapping.from,
      view: permute.map((axis) => view[axis]),
      permute: permute.map((_, axis) => permute.indexOf(axis)),
      shape: original,
    };
  });
}

function permuteElements(
  data: TensorData['data'],
  shape: readonly number[],
  permute: readonly number[],
): TensorData['data'] {
  const strides = shape.map((_, axis) => elementCount(shape.slice(axis + 1)));
  const sizes = permute.map((axis) => shape[axis]);
  const steps = permute.map((axis) => strides[axis]);
  const result = data.slice();
  const position = sizes.map(() => 0);
  let source = 0;
  for (let target = 0; target < result.length; target++) {
    result[target] = data[source];
    // Advance the mixed-radix counter, innermost axis first.
    for (let axis = sizes.length - 1; axis >= 0; axis--) {
      source += steps[axis];
      if (++position[axis] < sizes[axis]) break;
      source -= steps[axis] * sizes[axis];
      position[axis] = 0;
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
