import type { OperatorTable } from '../entry/operator.js';
import type { Graph } from '../graph/graph.js';
import type { Value } from '../graph/value.js';
import { operators as standardOperators } from '../operators/index.js';
import { normalizeAxis } from '../shape/shape.js';
import { afterPass } from '../verify/passes.js';

/** What has been joined along an axis, input by input. */
interface Joined {
  /** The result of a node that joins these inputs and no others. */
  whole: Value | undefined;
  readonly next: Map<Value, Joined>;
}

const nothing = (): Joined => ({ whole: undefined, next: new Map() });

/**
 * Has values that have been joined already taken as they are by what joins them with others: [a, b, c] becomes [[a, b], c] where
 * [a, b] is there. It copies the same elements. Every layer of a DenseNet joins the results of all before it, so
 * that their cotangents would be cut into as many pieces at every layer, to be added piece by piece: the square of the number of
 * layers. Nested, each layer cuts off one and adds once.
 */
export function nestConcats(graph: Graph, operators: OperatorTable = standardOperators): void {
  const byAxis = new Map<number, Joined>();
  for (const { key, obstacle, inputs, outputs, attributes } of graph.nodes) {
    const [whole] = outputs;
    const axis = normalizeAxis(attributes.int('axis', 0), whole?.shape?.length ?? 0);
    if (key !== 'Concat' || obstacle !== undefined || axis === undefined) continue;
    let place = byAxis.get(axis) ?? nothing();
    byAxis.set(axis, place);
    let longest: { readonly count: number; readonly value: Value } | undefined;
    for (const [i, input] of inputs.entries()) {
      if (input === undefined) continue;
      const next = place.next.get(input) ?? nothing();
      place.next.set(input, next);
      place = next;
      if (place.whole !== undefined && i > 0 && i < inputs.length - 1) longest = { count: i + 1, value: place.whole };
    }
    place.whole ??= whole;
    if (longest !== undefined) inputs.splice(0, longest.count, longest.value);
  }
  afterPass('nest', graph, operators);
}
