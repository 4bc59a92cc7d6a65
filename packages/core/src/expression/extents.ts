import { elementCount } from '../tensor/tensor-data.js';
import type { Extents, Shape } from './type.js';

/**
 * Rows and columns of the matrix view of a parameter, a reinterpretation of its elements in row-major order.
 *
 * @param units the axis that a row or a column stands for: `first` gives `[shape[0], rest]`, as PyTorch and ONNX lay out
 * the weights of dense and convolution layers; `last` gives `[rest, shape[last]]`, as TensorFlow.js does. Vectors and
 * numbers have one column.
 */
export function matrixExtents(shape: readonly number[], units: 'first' | 'last' = 'first'): Extents {
  if (shape.length < 2) return { rows: elementCount(shape), cols: 1 };
  const [first, last] = [shape[0], shape[shape.length - 1]];
  return units === 'first'
    ? { rows: first, cols: elementCount(shape.slice(1)) }
    : { rows: elementCount(shape.slice(0, -1)), cols: last };
}

/** The dimensions of a value of shape `shape` for a parameter of shape `param` whose matrix view has `extents`. */
export function concreteShape(shape: Shape, param: readonly number[], extents: Extents): readonly number[] {
  if (shape === 'number') return [];
  if (shape === 'param') return param;
  return shape.map((extent) => extentSize(extent, extents));
}

/** N of `rank N`. */
export function rankOf(extent: string | 1): number | undefined {
  return String(extent).startsWith('rank ') ? Number(String(extent).slice(5)) : undefined;
}

/** How much an extent, or a number as text, is for a parameter whose matrix view has `extents`. */
export function extentSize(extent: string | 1, extents: Extents): number {
  if (extent === 'rows' || extent === 'cols') return extents[extent];
  const rank = rankOf(extent);
  return rank === undefined ? Number(extent) : Math.min(rank, extents.rows, extents.cols);
}
