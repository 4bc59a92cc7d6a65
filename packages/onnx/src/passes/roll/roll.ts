import type { OperatorTable } from '../../entry/operator.js';
import { isFed } from '../../graph/fed.js';
import type { Graph } from '../../graph/graph.js';
import type { Value } from '../../graph/value.js';
import { isDifferentiable } from '../../model/dtype.js';
import { operators as standardOperators } from '../../operators/index.js';
import type { Target } from '../../target/target.js';
import { ortCpu } from '../../target/targets.js';
import { afterPass } from '../../verify/passes.js';
import { findChains, LEAST_COPIES, type Chain } from './chains.js';
import { numbering, type Numbering } from './numbering.js';
import { Recurrence, type Source } from './recurrence.js';
import { resultsOf } from './results.js';
import { writeScan } from './write-scan.js';

/**
 * Copies of fewer nodes altogether stay written out: a session over them is made in less than a second, and its steps cost
 * less. The backward pass of a Scan computes every step again.
 */
const LEAST_WRITTEN_OUT = 600;

export interface RollOptions {
  readonly operators?: OperatorTable;
  /** How many nodes the copies must be altogether. Default: {@link LEAST_WRITTEN_OUT}. */
  readonly least?: number;
}

/**
 * Makes copies of a body that hand a state from one to the next a Scan: what exporters write for a loop over time, whose
 * gradient would be as many copies again, with a contribution of each to the gradient of every weight. The Scan computes the
 * same numbers in the same order.
 *
 * A copy may read anything that is the same for all, slices of a tensor along an axis, what the one before has computed, and
 * little else. Copies with weights of their own are layers, which stay as they are: as a Scan they would stack all of their
 * weights at every step of the training, and compute the forward pass twice.
 *
 * @param fed initializers whose values will change
 */
export function rollRecurrences(
  graph: Graph,
  fed: Iterable<Value>,
  target: Target = ortCpu,
  { operators = standardOperators, least = LEAST_WRITTEN_OUT }: RollOptions = {},
): void {
  if (target.writesOutLoops !== true) while (rollOne(graph, new Set(fed), { operators, least }));
  afterPass('roll', graph, operators);
}

function rollOne(graph: Graph, fed: ReadonlySet<Value>, { operators, least }: Required<RollOptions>): boolean {
  if (findChains(graph, numbering(graph, operators, fed)).length === 0) return false;
  // What folding has left would count as reading the values of a copy.
  graph.removeDead(graph.initializers);
  const known = numbering(graph, operators, fed);
  const found = findChains(graph, known).flatMap((chain) => longestAlong(chain, graph, known, least) ?? []);
  // Of layers that were written step by step, the last one has the others in its copies.
  const sizeOf = ({ rows, count }: Recurrence) => rows.length * count;
  const largest = found.sort((a, b) => sizeOf(b) - sizeOf(a)).at(0);
  if (largest === undefined) return false;
  writeScan(graph, largest, operators);
  return true;
}

/** The first copy may start from something of another shape, and of the last one only a part may be needed. */
function longestAlong(chain: Chain, graph: Graph, known: Numbering, least: number): Recurrence | undefined {
  for (const [skipped, left] of TRIMMED) {
    const part = chain.slice(skipped, chain.length - left);
    const recurrence = part.length < LEAST_COPIES ? undefined : Recurrence.along(part, graph, known);
    if (recurrence !== undefined && isWorthwhile(graph, recurrence, least)) return recurrence;
  }
  return undefined;
}

const TRIMMED = [
  [0, 0],
  [1, 0],
  [0, 1],
  [1, 1],
] as const;

function isWorthwhile(graph: Graph, recurrence: Recurrence, least: number): boolean {
  const { rows, count } = recurrence;
  const written = rows.length * count;
  const apart = new Set<Value>();
  for (const row of rows) {
    for (const values of recurrence.inputsOf(row)) {
      const source: Source | undefined = values && recurrence.sourceOf(values);
      if (source?.kind !== 'apart') continue;
      if (source.values.some(isWeight)) return false;
      for (const value of source.values) apart.add(value);
    }
  }
  const used = rows.flatMap((row) =>
    row[0].outputs.flatMap((_, output) => {
      const copies = resultsOf(graph, recurrence, row, output).used;
      return copies.every((t) => t === count - 1) ? [] : copies;
    }),
  );
  return written >= least && apart.size + used.length <= written / 2;
}

/** Whether a value is more than a number, and made of what the model has alone. */
function isWeight(value: Value): boolean {
  const isNumber = value.shape?.every((length) => length === 1) === true;
  return isDifferentiable(value.dtype) && !isNumber && !isFed(value);
}
