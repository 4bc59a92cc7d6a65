import type { Graph } from '../../graph/graph.js';
import type { Node } from '../../graph/node.js';
import type { Value } from '../../graph/value.js';
import { normalizeAxis } from '../../shape/shape.js';
import type { Recurrence, Row } from './recurrence.js';
import { numbersOf } from './slices.js';

/** A Concat of the values of all copies, in their order or in the opposite one. */
export interface Joined {
  readonly axis: number;
  readonly turned: boolean;
  /** Whether the values have the axis already, of length 1. */
  readonly hasAxis: boolean;
  /** Puts the stacked values in the place of the copies'. */
  readonly join: (stacked: Value) => void;
}

/** What is made of one output of a row outside the copies. */
export interface Results {
  readonly row: Row<Node>;
  readonly output: number;
  readonly values: Row<Value>;
  readonly joined: readonly Joined[];
  /** The copies whose value is used in other ways. */
  readonly used: readonly number[];
}

export function resultsOf(graph: Graph, recurrence: Recurrence, row: Row<Node>, output: number): Results {
  const values = row.flatMap(({ outputs }) => outputs[output] ?? []);
  const outputs = new Set(graph.outputs);
  const joinedBy = new Set<Node>();
  const joined = recurrence.readersOutside(values[0]).flatMap((reader): Joined[] => {
    const found = joining(recurrence, values, reader);
    if (found === undefined || joinedBy.has(found.concat)) return [];
    joinedBy.add(found.concat);
    // A value that is unsqueezed for nothing but this is not needed any more.
    for (const node of found.between) {
      const [item] = node.outputs;
      if (item !== undefined && !outputs.has(item) && recurrence.readersOutside(item).length === 1) joinedBy.add(node);
    }
    return [found];
  });
  const used = values.flatMap((value, t) => {
    const isUsed = outputs.has(value) || recurrence.readersOutside(value).some((node) => !joinedBy.has(node));
    return isUsed ? [t] : [];
  });
  return { row, output, values, joined, used };

  function joining(
    { count }: Recurrence,
    from: Row<Value>,
    reader: Node,
  ): (Joined & { concat: Node; between: readonly Node[] }) | undefined {
    const isUnsqueezed = reader.key === 'Unsqueeze';
    const axes = isUnsqueezed ? numbersOf(reader.inputs[1]) : undefined;
    if (isUnsqueezed && axes?.length !== 1) return undefined;
    const between = isUnsqueezed
      ? from.flatMap(
          (value) =>
            recurrence
              .readersOutside(value)
              .find((node) => node.key === 'Unsqueeze' && numbersOf(node.inputs[1])?.join() === axes?.join()) ?? [],
        )
      : [];
    const items = isUnsqueezed ? between.flatMap((node) => node.outputs[0] ?? []) : from;
    if (items.length !== count) return undefined;
    const rank = items[0].shape?.length ?? 0;
    const concat = isUnsqueezed
      ? recurrence.readersOutside(items[0]).find(({ key }) => key === 'Concat')
      : reader.key === 'Concat'
        ? reader
        : undefined;
    const axis = concat && normalizeAxis(concat.attributes.int('axis', 0), rank);
    if (concat === undefined || axis === undefined || items[0].shape?.[axis] !== 1) return undefined;
    if (axes !== undefined && normalizeAxis(axes[0], rank) !== axis) return undefined;
    const [first, last] = [concat.inputs.indexOf(items[0]), concat.inputs.indexOf(items[count - 1])];
    const turned = last < first;
    const start = Math.min(first, last);
    const inOrder = turned ? items.toReversed() : items;
    if (start < 0 || !inOrder.every((item, i) => concat.inputs[start + i] === item)) return undefined;
    const join = (stacked: Value): void => {
      concat.inputs.splice(start, count, stacked);
      const [whole] = concat.outputs;
      if (concat.inputs.length === 1 && whole !== undefined && !outputs.has(whole)) graph.replaceUses(whole, stacked);
    };
    return { axis, turned, hasAxis: !isUnsqueezed, join, concat, between };
  }
}
