import type { OperatorTable } from '../entry/operator.js';
import { Emitter } from '../graph/emitter.js';
import type { Graph } from '../graph/graph.js';
import { operators as standardOperators } from '../operators/index.js';
import { inferNode } from './infer.js';

/** An emitter that appends to `graph` and infers what it appends by the operator table. */
export function emitterOf(graph: Graph, operators: OperatorTable = standardOperators): Emitter {
  return new Emitter(graph, {
    infer: (node, place) => {
      inferNode(place, node, operators);
    },
    draws: (op) => operators.get(op)?.draws === true,
  });
}
