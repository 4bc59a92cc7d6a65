import type { Emitter } from '../graph/emitter.js';
import type { Graph } from '../graph/graph.js';
import { Tensor } from '../model/tensor.js';

/**
 * Puts Dropout nodes into training or inference form, whatever form the model was exported in: the ratio stays, the
 * `training_mode` input becomes a constant.
 */
export function setTrainingMode(graph: Graph, e: Emitter, training: boolean): void {
  for (const node of graph.nodes) {
    if (node.key !== 'Dropout') continue;
    const mode = e.constant(
      Tensor.of('bool', [], Uint8Array.of(training ? 1 : 0)),
      `training_mode_${training ? 1 : 0}`,
    );
    while (node.inputs.length < 3) node.inputs.push(undefined);
    node.inputs[2] = mode;
  }
}
