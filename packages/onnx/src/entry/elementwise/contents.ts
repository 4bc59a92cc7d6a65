import type { Contents } from '../../graph/value.js';
import type { Dim } from '../../shape/dim.js';
import type { Shape } from '../../shape/shape.js';

/**
 * Applies `f` to the known elements of several inputs with broadcasting. Undefined when the result has a rank above 1,
 * an input is not known, or `f` cannot tell an element.
 */
export function broadcastContents(
  inputs: readonly (Contents | undefined)[],
  shape: Shape,
  f: (...elements: Dim[]) => Dim | undefined,
): Contents | undefined {
  if (shape.length > 1) return undefined;
  const known = inputs.filter((contents) => contents !== undefined);
  if (known.length < inputs.length) return undefined;
  const length = Math.max(...known.map((contents) => contents.length));
  const size = known.some((contents) => contents.length === 0) ? 0 : length;
  const result: Dim[] = [];
  for (let i = 0; i < size; i++) {
    const element = f(...known.map((contents) => contents[contents.length === 1 ? 0 : i]));
    if (element === undefined) return undefined;
    result.push(element);
  }
  return result;
}
