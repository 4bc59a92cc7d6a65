import { AdakitError, elementCount, type TensorData } from '@adakit/core';
import { requireTensor } from '@adakit/core/states';
import { requireList } from '../file/given.js';
import { MAPPING, type ParameterMapping } from './parameter-mapping.js';

/** One tensor in the layout that `mapping` leads to; a copy. With `toPart` it is the part. */
export function mapTensor(tensor: TensorData, mapping: ParameterMapping): TensorData {
  requireTensor('invalid-mapping', 'what a mapping moves', tensor);
  requireList('invalid-mapping', 'mappings', [mapping], ['from', 'to'], MAPPING);
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

export function mismatch(problem: string): AdakitError {
  return new AdakitError('state-mismatch', `the parameter mapping does not fit: ${problem}`);
}
