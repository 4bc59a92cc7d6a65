import { elementCount, matrixExtents, type Extent, type SlotState, type TensorData } from '@adakit/core';
import { mapTensor } from './map-tensor.js';
import type { ParameterMapping } from './parameter-mapping.js';

/** A parameter as slots along its rows and columns see it. */
export interface MatrixView {
  readonly shape: readonly number[];
  readonly units: 'first' | 'last';
}

/**
 * How a mapping moves the rows and columns of a parameter's matrix view: row i of the result is row (or column, where
 * they change places) `rows[i]` of the source, and so for its columns.
 */
export interface AxisMoves {
  readonly swapped: boolean;
  readonly rows: Int32Array;
  readonly cols: Int32Array;
}

/**
 * Finds out whether a mapping moves whole rows and whole columns, by looking at where every element comes from.
 *
 * @returns undefined if it tears them apart, as between (in, out) with an image flattened into `in` and a kernel whose
 * rows are one of its other axes
 */
export function axisMoves(mapping: ParameterMapping, from: MatrixView, to: MatrixView): AxisMoves | undefined {
  const [source, target] = [matrixExtents(from.shape, from.units), matrixExtents(to.shape, to.units)];
  const index = Float64Array.from({ length: elementCount(from.shape) }, (_, i) => i);
  const { data } = mapTensor({ dtype: 'float64', shape: from.shape, data: index }, mapping);
  const kept = source.rows === target.rows && source.cols === target.cols;
  for (const swapped of kept ? [false, true] : [true]) {
    const moves = fit(data, source.cols, target, swapped);
    if (moves) return { ...moves, swapped };
  }
  return undefined;
}

/** Whether the rows and columns that elements come from depend on rows alone and on columns alone. */
function fit(
  origins: TensorData['data'],
  sourceCols: number,
  target: { readonly rows: number; readonly cols: number },
  swapped: boolean,
): { readonly rows: Int32Array; readonly cols: Int32Array } | undefined {
  // Rows of no elements are not told apart, and stay.
  if (origins.length === 0) return swapped ? undefined : { rows: identity(target.rows), cols: identity(target.cols) };
  const rows = new Int32Array(target.rows).fill(-1);
  const cols = new Int32Array(target.cols).fill(-1);
  for (let i = 0; i < origins.length; i++) {
    const [row, col] = [Math.floor(i / target.cols), i % target.cols];
    const [fromRow, fromCol] = [Math.floor(origins[i] / sourceCols), origins[i] % sourceCols];
    const [ofRow, ofCol] = swapped ? [fromCol, fromRow] : [fromRow, fromCol];
    if (rows[row] < 0) rows[row] = ofRow;
    if (cols[col] < 0) cols[col] = ofCol;
    if (rows[row] !== ofRow || cols[col] !== ofCol) return undefined;
  }
  return { rows, cols };
}

/**
 * A slot along rows and columns in another layout. Where rows and columns change places, so do the slot's axes, and a
 * slot along both is transposed. A rank is no axis of the parameter: slots along one stay as they stand, but for the names.
 */
export function moveSlot(slot: SlotState, axes: readonly [Extent, Extent], moves: AxisMoves): SlotState {
  const [a, b] = axes;
  const ranked = axes.some((extent) => !isOfView(extent) && extent !== 1);
  const transposed = moves.swapped && a !== b && !ranked;
  const swap = (extent: Extent): Extent =>
    !isOfView(extent) || !moves.swapped ? extent : extent === 'rows' ? 'cols' : 'rows';
  const target: readonly [Extent, Extent] = transposed ? [swap(b), swap(a)] : [swap(a), swap(b)];
  const origins = target.map((extent, axis) => {
    // What is neither rows nor columns stays where it is.
    return isOfView(extent) ? moves[extent] : identity(slot.shape[transposed ? 1 - axis : axis]);
  });
  const [height, width] = origins.map(({ length }) => length);
  const data = slot.data.slice();
  const sourceWidth = slot.shape[1];
  for (let i = 0; i < height; i++) {
    for (let j = 0; j < width; j++) {
      const [row, col] = transposed ? [origins[1][j], origins[0][i]] : [origins[0][i], origins[1][j]];
      data[i * width + j] = slot.data[row * sourceWidth + col];
    }
  }
  return { ...slot, axes: target, shape: [height, width], data };
}

function identity(length: number): Int32Array {
  return Int32Array.from({ length }, (_, i) => i);
}

function isOfView(extent: Extent): extent is 'rows' | 'cols' {
  return extent === 'rows' || extent === 'cols';
}
