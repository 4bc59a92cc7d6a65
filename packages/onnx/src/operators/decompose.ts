import { OnnxError } from '../error.js';
import { Emitter } from '../graph/emitter.js';
import type { Graph } from '../graph/graph.js';
import { Node } from '../graph/node.js';
import type { Value } from '../graph/value.js';
import { inferNode } from '../shape/infer.js';
import type { DefinitionContext, OperatorTable } from './operator.js';

/**
 * Writes the nodes of operators that define themselves in terms of others out as those. Shapes must have been inferred;
 * values keep their names.
 */
export function decomposeNodes(graph: Graph, operators: OperatorTable): void {
  for (const { bodies } of graph.nodes) for (const body of bodies.values()) decomposeNodes(body, operators);
  if (!graph.nodes.some(({ key }) => operators.get(key)?.decompose !== undefined)) return;
  const e = new Emitter(graph, (node) => {
    inferNode(graph, node, operators);
  });
  const nodes = graph.nodes;
  graph.nodes = [];
  for (const node of nodes) {
    const results = e.named(node.name, () => operators.get(node.key)?.decompose?.(definitionContext(node, e)));
    if (results === undefined) {
      graph.addNode(node);
      continue;
    }
    standIn(e, node, results);
  }
}

/** Gives the outputs of a node, which is itself left out of the graph, to the values that stand in for them. */
export function standIn({ graph }: Emitter, node: Node, results: readonly (Value | undefined)[]): void {
  node.outputs.forEach((output, i) => {
    if (output === undefined) return;
    const result = results[i];
    if (result === undefined) {
      throw new OnnxError('unsupported-operator', `${node.label}: its output ${i} ('${output.name}') is not supported`);
    }
    const name = `${node.name}/output_${i}`;
    graph.addNode(new Node({ name, op: 'Identity', inputs: [result], outputs: [output] }));
    output.dtype ??= result.dtype;
    output.shape ??= result.shape;
    output.contents ??= result.contents;
  });
}

function definitionContext(node: Node, e: Emitter): DefinitionContext {
  const fail = (what: string): never => {
    throw new OnnxError('unsupported-operator', `${node.label}: ${what}`);
  };
  return {
    node,
    e,
    inputCount: node.inputs.length,
    has: (index) => index < node.inputs.length && node.inputs[index] !== undefined,
    input: (index) => node.inputs[index] ?? fail(`input ${index} is missing`),
    constant: (index) => node.inputs[index]?.constant,
    shape: (value) => value.shape ?? fail(`the rank of '${value.name}' is unknown`),
    fail,
  };
}
