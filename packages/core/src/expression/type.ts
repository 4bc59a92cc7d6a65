/** Where a value lives: known to the host before the step, or computed on the device during it. */
export type Place = 'host' | 'device';

/** An extent of so much at most, and never more than the matrix view has rows or columns: `rank 8`. */
export type Rank = `rank ${number}`;

/** An extent of a matrix: one, one of the extents of the parameter's matrix view, or a rank. */
export type Extent = 1 | 'rows' | 'cols' | Rank;

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
  return rows && cols && [rows, cols];
}

/** Whether it is a shape: what is no TypeScript may give anything, and names of extents become part of programs. */
export function isShape(shape: unknown): shape is Shape {
  return /^(number|param|(1|rows|cols|rank \d+),(1|rows|cols|rank \d+))$/.test(String(shape));
}

/** A shape as people write it: `[]`, `the parameter's`, `[rows, 1]`. */
export function shapeText(shape: Shape): string {
  if (shape === 'number') return '[]';
  return shape === 'param' ? "the parameter's" : `[${shape.join(', ')}]`;
}
