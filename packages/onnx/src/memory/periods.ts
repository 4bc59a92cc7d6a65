import type { Graph } from '../graph/graph.js';
import type { Node } from '../graph/node.js';
import { FORWARD, type Periods } from '../graph/periods.js';
import type { Value } from '../graph/value.js';
import type { DType } from '../model/dtype.js';
import { bytesOfElements } from '../model/tensor.js';
import { hasUnknown, isStatic } from '../shape/dim.js';
import { dependenciesOf, executionOrder } from './execution-order.js';
import { memoryOf } from './live-bytes.js';

/*
 * ONNX Runtime has values of one shape share a buffer, and keeps it from the first to the last of them, however long it holds
 * nothing in between (see `peakOf`). An activation that is let go in the forward pass and computed again, or whose gradient comes
 * at the end, would keep its buffer all the time, and nothing were gained. The runtime knows free sizes by their names alone.
 * So values of other periods of a step have other names for the same sizes. Of fixed sizes it knows the numbers.
 */

/**
 * What sizes nodes make, as far as ONNX Runtime can tell one from another: a number that is equal for equal ones, below 0 where all
 * are fixed, and undefined where the runtime does not know them.
 */
export function kindsOf(nodes: readonly Node[]): readonly (number | undefined)[] {
  const numbers = new Map<string, number>();
  return nodes.map(({ outputs }) => {
    const made = outputs.flatMap((output) => output ?? []);
    if (made.some(({ shape }) => shape === undefined || shape.some(hasUnknown))) return undefined;
    const isFixed = made.every(({ shape }) => shape?.every(isStatic));
    const text = made.map(({ dtype, shape }) => `${bytesOf(dtype)}[${String(shape)}]`).join();
    const number = numbers.get(text) ?? (isFixed ? -1 - numbers.size : numbers.size);
    numbers.set(text, number);
    return number;
  });
}

function bytesOf(dtype: DType | undefined): string {
  return String(dtype === undefined ? undefined : bytesOfElements(dtype, 1));
}

/** A kind of {@link kindsOf} as it is in a period. */
export function kindIn(kind: number | undefined, period: number): number | undefined {
  return kind === undefined || kind < 0 ? kind : kind * MOST_PERIODS + period;
}

const MOST_PERIODS = 2 ** 10;

/** The period of each node of an order: the forward pass ends at `turn`, and what comes after is divided evenly. */
export function periodsOf({
  order,
  turn,
  periods,
}: {
  readonly order: readonly number[];
  readonly turn: number;
  readonly periods: number;
}): readonly number[] {
  const found = new Array<number>(order.length).fill(FORWARD);
  const after = order.length - turn - 1;
  for (let at = turn + 1; at < order.length; at++) {
    found[order[at]] = 1 + Math.floor(((at - turn - 1) * periods) / after);
  }
  return found;
}

/** The forward pass, which ends with the loss, and the backward pass as one period. */
export function twoPeriods(graph: Graph, loss: Value): Periods {
  const { nodes } = graph;
  const order = executionOrder(dependenciesOf(graph));
  const end = memoryOf(loss).producer;
  const turn = end === undefined ? -1 : order.findIndex((number) => nodes[number] === end);
  const numbers = periodsOf({ order, turn, periods: 1 });
  const periods = new Map<Value, number>();
  nodes.forEach(({ outputs }, number) => {
    for (const output of outputs) if (output !== undefined) periods.set(output, numbers[number]);
  });
  return periods;
}
