import type { Emitter } from '../graph/emitter.js';
import type { Graph } from '../graph/graph.js';
import type { Node } from '../graph/node.js';
import type { Value } from '../graph/value.js';
import { Tensor } from '../model/tensor.js';
import { operators } from '../operators/index.js';
import { inferNode } from '../shape/infer.js';

/** A tensor that training changes without a gradient, such as a running mean. */
export interface RunningStatistic {
  /** The initializer that holds it. */
  readonly initializer: Value;
  /** What it is after a step. */
  updated: Value;
}

/**
 * Puts Dropout and BatchNormalization nodes into training or inference form, whatever form the model was exported in.
 * Dropout keeps its ratio, and its `training_mode` input becomes a constant. BatchNormalization in training form takes
 * the statistics of the batch.
 *
 * @param frozen batch normalizations that stay in inference form
 * @returns the running statistics that a step changes, which are none in inference form
 */
export function setTrainingMode(
  graph: Graph,
  e: Emitter,
  training: boolean,
  frozen: ReadonlySet<Node> = new Set(),
): readonly RunningStatistic[] {
  const statistics = new Map<Value, RunningStatistic>();
  setDropouts(graph, e, training);
  for (const node of graph.nodes) {
    if (node.key === 'BatchNormalization' && training && !frozen.has(node)) {
      setBatchNormalization(graph, node, statistics);
    }
  }
  return [...statistics.values()];
}

function setDropouts(graph: Graph, e: Emitter, training: boolean): void {
  for (const node of graph.nodes) {
    if (node.key === 'Dropout') setDropout(node, e, training);
    for (const body of node.bodies.values()) setDropouts(body, e, training);
  }
}

function setDropout(node: Node, e: Emitter, training: boolean): void {
  const mode = e.constant(Tensor.of('bool', [], Uint8Array.of(training ? 1 : 0)), `training_mode_${training ? 1 : 0}`);
  while (node.inputs.length < 3) node.inputs.push(undefined);
  node.inputs[2] = mode;
}

/** Where the statistics are not initializers but computed, nothing could keep them: the node stays as it is. */
function setBatchNormalization(graph: Graph, node: Node, statistics: Map<Value, RunningStatistic>): void {
  const running = [node.inputs[3], node.inputs[4]];
  if (!running.every((value) => value?.tensor !== undefined)) return;
  node.attributes.set('training_mode', 1);
  running.forEach((initializer, i) => {
    if (initializer === undefined) return;
    const updated = graph.addValue(graph.uniqueName(`${initializer.name}_updated`));
    updated.producer = node;
    node.outputs[1 + i] = updated;
    const known = statistics.get(initializer);
    if (known === undefined) {
      statistics.set(initializer, { initializer, updated });
    } else {
      // A normalization that is applied twice moves its statistics twice.
      node.inputs[3 + i] = known.updated;
      known.updated = updated;
    }
  });
  inferNode(graph, node, operators);
}
