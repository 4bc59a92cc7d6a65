import type { OperatorTable } from '../entry/operator.js';
import type { Graph } from '../graph/graph.js';
import { operators as standardOperators } from '../operators/index.js';
import { afterPass } from '../verify/passes.js';
import { dependenciesOf, type Dependencies } from './execution-order.js';

/**
 * Puts the nodes of a graph, and of the bodies in it, in an order of the file with which ONNX Runtime executes them so that
 * values are done with early. Left to itself it begins with the gradient of the first layer, and every gradient of an
 * activation waits to the end for the gradient of the weight that it is needed for.
 *
 * Ends, whose outputs no node uses, come last, the deepest first: executed are then the shallowest first, so that the
 * gradient of a weight follows what it is computed from. Everything else is in order of depth: of what a node needs, the
 * deepest is executed first, and what is quickly computed from values that are there waits until it is needed.
 */
export function arrangeNodes(graph: Graph, operators: OperatorTable = standardOperators): void {
  for (const { bodies } of graph.nodes) for (const body of bodies.values()) arrangeNodes(body, operators);
  const { nodes } = graph;
  graph.nodes = arrangement(dependenciesOf(graph)).map((number) => nodes[number]);
  afterPass('arrange', graph, operators);
}

/** Numbers of nodes in the order of {@link arrangeNodes}. What is given must be in an order in which producers come first. */
export function arrangement({ sources }: Dependencies): readonly number[] {
  const depths = new Int32Array(sources.length);
  const isUsed = new Uint8Array(sources.length);
  sources.forEach((list, number) => {
    for (const source of list) {
      depths[number] = Math.max(depths[number], depths[source] + 1);
      isUsed[source] = 1;
    }
  });
  const numbers = sources.map((_, number) => number);
  return numbers.sort((a, b) => {
    if (isUsed[a] !== isUsed[b]) return isUsed[b] - isUsed[a];
    return isUsed[a] === 1 ? depths[a] - depths[b] || a - b : depths[b] - depths[a] || b - a;
  });
}
