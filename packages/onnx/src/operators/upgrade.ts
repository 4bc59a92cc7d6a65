import { Emitter } from '../graph/emitter.js';
import type { Graph } from '../graph/graph.js';
import type { OperatorTable } from './operator.js';

/** Brings every node of a graph from the model's opset to the target opset. Runs before shape inference. */
export function upgradeNodes(graph: Graph, opset: number, operators: OperatorTable): void {
  // Upgrades only add constants, for which nothing needs to be inferred.
  const e = new Emitter(graph, () => undefined);
  for (const node of [...graph.nodes]) operators.get(node.key)?.upgrade?.({ node, opset, graph, e });
}
