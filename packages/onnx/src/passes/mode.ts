import type { OperatorTable } from '../entry/operator.js';
import type { Emitter } from '../graph/emitter.js';
import { fedValues, isFed } from '../graph/fed.js';
import type { Graph } from '../graph/graph.js';
import type { Node } from '../graph/node.js';
import type { Value } from '../graph/value.js';
import { emitterOf } from '../inference/emitter-of.js';
import { inferNode } from '../inference/infer.js';
import { operators as standardOperators } from '../operators/index.js';
import { afterPass } from '../verify/passes.js';

/** A tensor that training changes without a gradient, such as a running mean. */
export interface RunningStatistic {
  /** The initializer that holds it. */
  readonly initializer: Value;
  /** What it is after a step. */
  updated: Value;
}

/**
 * Puts the nodes that differ between training and inference (Dropout, BatchNormalization) into one of these forms,
 * whatever form the model was exported in.
 *
 * @param frozen nodes whose running statistics stay as they are, and are used
 * @returns the running statistics that a step changes, which are none in inference form
 */
export function setTrainingMode(
  graph: Graph,
  e: Emitter,
  training: boolean,
  frozen: ReadonlySet<Node> = new Set(),
  operators: OperatorTable = standardOperators,
): readonly RunningStatistic[] {
  const statistics = new Map<Value, RunningStatistic>();
  const fed = fedValues(graph);
  for (const node of graph.nodes) {
    const setMode = operators.get(node.key)?.setMode;
    if (setMode !== undefined) {
      const keep = (input: number, output: number) => {
        keepStatistic(graph, node, input, output, statistics);
        inferNode(graph, node, operators);
      };
      setMode({ node, e, training, isFed: (value) => fed.has(value), keep: frozen.has(node) ? undefined : keep });
    }
    for (const body of node.bodies.values()) setBodyMode(body, training, operators);
  }
  afterPass('mode', graph, operators);
  return [...statistics.values()];
}

/** What a body computes stays inside it, so it moves no statistics. */
function setBodyMode(body: Graph, training: boolean, operators: OperatorTable): void {
  const e = emitterOf(body, operators);
  for (const node of body.nodes) {
    operators.get(node.key)?.setMode?.({ node, e, training, isFed, keep: undefined });
    for (const inner of node.bodies.values()) setBodyMode(inner, training, operators);
  }
}

function keepStatistic(
  graph: Graph,
  node: Node,
  input: number,
  output: number,
  statistics: Map<Value, RunningStatistic>,
): void {
  const initializer = node.inputs[input];
  if (initializer?.tensor === undefined) {
    throw new Error(`${node.label} keeps a statistic at input ${input}, which is no initializer`);
  }
  // The model may have use of it as well.
  const updated = node.outputs[output] ?? graph.addValue(graph.uniqueName(`${initializer.name}_updated`));
  updated.producer = node;
  node.outputs[output] = updated;
  const known = statistics.get(initializer);
  if (known === undefined) {
    statistics.set(initializer, { initializer, updated });
  } else {
    // A normalization that is applied twice moves its statistics twice.
    node.inputs[input] = known.updated;
    known.updated = updated;
  }
}
