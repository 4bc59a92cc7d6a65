import { Emitter } from './graph/emitter.js';
import type { Graph } from './graph/graph.js';
import { operators as standardOperators } from './operators/index.js';
import type { OperatorTable } from './operators/operator.js';
import { inferNode } from './shape/infer.js';

/** An emitter that appends to `graph` and infers what it appends by the operator table. */
export function emitterOf(graph: Graph, operators: OperatorTable = standardOperators): Emitter {
  return new Emitter(graph, (node) => {
    inferNode(graph, node, operators);
  });
}
