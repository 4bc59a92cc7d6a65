import { elementCount, type PlannedParameter } from '@adakit/core';
import type { Emitter } from '../graph/emitter.js';
import type { Value } from '../graph/value.js';
import type { Together } from '../target/target.js';

/** Parameters whose elements lie one after the other in the rows of a matrix. */
export interface Layout {
  readonly parameters: readonly PlannedParameter[];
  /** Rows, and elements of a row, none of which is of two parameters. */
  readonly shape: readonly [rows: number, width: number];
  /** The parameter of every row. */
  readonly owners: readonly number[];
  /** A matrix of what `valueOf` gives for each parameter, of its shape. */
  flatten(e: Emitter, valueOf: (parameter: PlannedParameter) => Value): Value;
  /** The parts of a matrix, each of its parameter's shape. */
  split(e: Emitter, matrix: Value): readonly Value[];
}

/**
 * Rows of so many elements. For every row of what it joins or takes apart, ONNX Runtime's CUDA provider fills in a number on the
 * host and copies it to the device.
 */
const WIDTH = 64;

/** Parameters of more elements than this that do not fill rows are not worth it. */
const MOST_UNEVEN = 4096;

/** Lays out parameters in their order: those that fill rows, and small ones that do not. The rest stays on its own. */
export function layoutsOf(
  all: readonly PlannedParameter[],
  { elements, parameters: fewest }: Together,
): readonly Layout[] {
  const parameters = all.filter(({ shape }) => {
    const count = elementCount(shape);
    return count > 0 && count <= elements;
  });
  const even = parameters.filter(({ shape }) => elementCount(shape) % WIDTH === 0);
  const uneven = parameters.filter(
    ({ shape }) => elementCount(shape) % WIDTH > 0 && elementCount(shape) <= MOST_UNEVEN,
  );
  return [laidOut(even, WIDTH), laidOut(uneven, 1)].filter(({ parameters: members }) => members.length >= fewest);
}

function laidOut(parameters: readonly PlannedParameter[], width: number): Layout {
  const rows = parameters.map(({ shape }) => elementCount(shape) / width);
  return {
    parameters,
    shape: [rows.reduce((a, b) => a + b, 0), width],
    owners: rows.flatMap((count, i) => Array.from({ length: count }, () => i)),
    flatten: (e, valueOf) =>
      e.concat(
        parameters.map((parameter) => e.reshape(valueOf(parameter), [-1, width])),
        0,
      ),
    split: (e, matrix) =>
      e
        .nodes('Split', [matrix, e.int64(rows)], { axis: 0 }, rows.length)
        .map((part, i) => e.reshape(part, parameters[i].shape)),
  };
}
