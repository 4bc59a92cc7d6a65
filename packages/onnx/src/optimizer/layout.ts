import { elementCount, type PlannedParameter } from '@adakit/core';
import type { Emitter } from '../graph/emitter.js';
import type { Value } from '../graph/value.js';

/** Parameters whose elements lie one after the other in a vector. */
export interface Layout {
  readonly parameters: readonly PlannedParameter[];
  /** Elements of all together. */
  readonly size: number;
  /** A vector of what `valueOf` gives for each parameter, of its shape. */
  flatten(e: Emitter, valueOf: (parameter: PlannedParameter) => Value): Value;
  /** The parts of a vector, each of its parameter's shape. */
  split(e: Emitter, vector: Value): readonly Value[];
}

/** Lays parameters out in their order. */
export function laidOut(parameters: readonly PlannedParameter[]): Layout {
  const sizes = parameters.map(({ shape }) => elementCount(shape));
  return {
    parameters,
    size: sizes.reduce((a, b) => a + b, 0),
    flatten: (e, valueOf) =>
      e.concat(
        parameters.map((parameter) => e.reshape(valueOf(parameter), [-1])),
        0,
      ),
    split: (e, vector) =>
      e
        .nodes('Split', [vector, e.int64(sizes)], { axis: 0 }, sizes.length)
        .map((part, i) => e.reshape(part, parameters[i].shape)),
  };
}
