import { elementCount } from '../tensor/tensor-data.js';

/** Where a value lives: known to the host before the step, or computed on the device during it. */
export type Place = 'host' | 'device';

/** An extent of a matrix: one, or one of the extents of the parameter's matrix view. */
export type Extent = 1 | 'rows' | 'cols';

/**
 * The shape of a value, relative to the parameter a program runs on, so that one program serves parameters of all sizes.
 *
 * - `number`: one number, `[]`.
 * - `param`: the parameter's own shape. Such values are combined element by element.
 * - `[rows, cols]` and the like: a matrix whose extents are those of the parameter's matrix view, see
 *   {@link matrixExtents}. Extents of 1 broadcast.
 */
export type Shape = 'number' | 'param' | readonly [Extent, Extent];

/** Host values are float64, device values float32 (float64 on the reference device), comparisons `bool`. */
export type ValueDType = 'float64' | 'float32' | 'bool';

/** The type of a value in an update rule. */
export interface ValueType {
  readonly place: Place;
  readonly shape: Shape;
  readonly dtype: ValueDType;
}

/** Rows and columns of a parameter's matrix view. */
export interface Extents {
  readonly rows: number;
  readonly cols: number;
}

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
  return shape.map((extent) => (extent === 1 ? 1 : extents[extent]));
}

export function equalShapes(a: Shape, b: Shape): boolean {
  return a === b || (typeof a !== 'string' && typeof b !== 'string' && a[0] === b[0] && a[1] === b[1]);
}

/** The shape of an elementwise operation on two shapes, or `undefined` where they do not combine. */
export function joinShapes(a: Shape, b: Shape): Shape | undefined {
  if (a === 'number') return b;
  if (b === 'number' || equalShapes(a, b)) return a;
  if (typeof a === 'string' || typeof b === 'string') return undefined;
  const joined = ([0, 1] as const).map((axis) => {
    if (a[axis] === 1) return b[axis];
    return b[axis] === 1 || a[axis] === b[axis] ? a[axis] : undefined;
  });
  const [rows, cols] = joined;
  return rows === undefined || cols === undefined ? undefined : [rows, cols];
}

/** A shape as people write it: `[]`, `the parameter's`, `[rows, 1]`. */
export function shapeText(shape: Shape): string {
  if (shape === 'number') return '[]';
  return shape === 'param' ? "the parameter's" : `[${shape.join(', ')}]`;
}
