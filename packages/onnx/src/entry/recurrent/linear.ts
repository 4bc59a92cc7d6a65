import type { Emitter } from '../../graph/emitter.js';
import type { Value } from '../../graph/value.js';
import { multiplyDims } from '../../shape/dim.js';
import { addBodyOutput, scan } from '../body.js';
import type { DefinitionContext } from '../operator.js';
import { alongTime, inRows } from './through-time.js';

/** c[t] = k[t] ⊙ c[t − 1] + a[t]: a recurrence without products of matrices or functions. */
export interface LinearRecurrence {
  /** k and a of all steps, rows [time·batch, length] in the order of time. */
  readonly factors: Value;
  readonly terms: Value;
  /** The state before the first step, [batch, length]. */
  readonly initial: Value;
  readonly time: number;
  /** Whether it begins with the last rows. */
  readonly isBackward: boolean;
}

/** What a node of `adakit::LinearRecurrence` computes. */
export function linearRecurrenceOf({ node, input }: Pick<DefinitionContext, 'node' | 'input'>): LinearRecurrence {
  return {
    factors: input(0),
    terms: input(1),
    initial: input(2),
    time: node.attributes.int('time', 1),
    isBackward: node.attributes.int('reverse', 0) === 1,
  };
}

/** The states before and after every step, in rows, written out step by step. */
export function statesInSteps(e: Emitter, recurrence: LinearRecurrence): readonly Value[] {
  const { factors, terms, initial, time, isBackward } = recurrence;
  const inOrder = <T>(steps: readonly T[]) => (isBackward ? steps.toReversed() : steps);
  const [batch] = initial.shape ?? [1];
  const stepsOf = (rows: Value) => inOrder(alongTime(e, rows, time, batch));
  const added = stepsOf(terms);
  const states = [initial];
  for (const [t, factor] of stepsOf(factors).entries()) states.push(e.add(e.mul(factor, states[t]), added[t]));
  const rowsOf = (steps: readonly Value[]) => e.assume(e.concat(inOrder(steps), 0), terms.shape ?? []);
  return [rowsOf(states.slice(0, -1)), rowsOf(states.slice(1))];
}

/** The same as a Scan over the steps. */
export function statesByScan(e: Emitter, recurrence: LinearRecurrence): readonly Value[] {
  const { factors, terms, initial, time, isBackward } = recurrence;
  const [batch, length] = initial.shape ?? [1, 1];
  const { dtype, shape } = initial;
  const inner = e.inside('step');
  const { graph } = inner;
  const [state, factor, term] = ['state', 'factor', 'term'].map((name) =>
    graph.addInput(graph.uniqueName(`${graph.name}/${name}`), { dtype, shape }),
  );
  const next = inner.add(inner.mul(factor, state), term);
  // As the state, and in a node of its own as what is kept of the step.
  graph.outputs.push(next);
  addBodyOutput(graph, next);
  const byStep = (rows: Value) => e.assume(e.reshape(rows, [time, -1, Number(length)]), [time, batch, length]);
  const along = { axis: 0, turned: isBackward };
  const scanned = [factors, terms].map((rows) => ({ ...along, outer: byStep(rows) }));
  const [, after] = scan(e, graph, [initial], scanned, [along]);
  const rows = inRows(e, after, Number(length), multiplyDims(time, batch));
  if (time === 1) return [initial, rows];
  const [starts, ends] = isBackward ? [[1], [time]] : [[0], [time - 1]];
  const kept = e.slice(after, { starts, ends, axes: [0] });
  const others = inRows(e, kept, Number(length), multiplyDims(time - 1, batch));
  const before = e.concat(isBackward ? [others, initial] : [initial, others], 0);
  return [e.assume(before, terms.shape ?? []), rows];
}
