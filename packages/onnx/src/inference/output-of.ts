import type { OperatorTable } from '../entry/operator.js';
import type { Graph } from '../graph/graph.js';
import type { Node } from '../graph/node.js';
import type { Value } from '../graph/value.js';
import { inferNode } from './infer.js';

/** Output `index` of a node of a graph, which is made to compute it if it did not (MaxPool Indices, Dropout mask). */
export function outputOf(graph: Graph, node: Node, index: number, operators: OperatorTable): Value {
  const present = node.outputs[index];
  if (present !== undefined) return present;
  const extra = graph.addValue(graph.uniqueName(`${node.name}_output_${index}`));
  extra.producer = node;
  while (node.outputs.length < index) node.outputs.push(undefined);
  node.outputs[index] = extra;
  inferNode(graph, node, operators);
  return extra;
}
