import type { Emitter } from '../graph/emitter.js';
import type { Value } from '../graph/value.js';

/** Values of one shape side by side, along a new axis. */
export function stack(e: Emitter, values: readonly Value[], axis: number): Value {
  return e.concat(
    values.map((value) => e.unsqueeze(value, [axis])),
    axis,
  );
}
