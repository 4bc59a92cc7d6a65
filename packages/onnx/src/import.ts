import { graphFromModel, readIntoGraph, type Placement } from './graph/from-model.js';
import type { Graph } from './graph/graph.js';
import type { Value } from './graph/value.js';
import type { Model } from './model/model.js';
import { defaultOpset } from './model/opset.js';
import { foldShapes } from './normalize/fold-shapes.js';
import { decomposeNodes } from './operators/decompose.js';
import { operators as standardOperators } from './operators/index.js';
import type { OperatorTable } from './operators/operator.js';
import { upgradeNodes } from './operators/upgrade.js';

/**
 * The graph of a model, at the target opset and in operators that ONNX Runtime executes there, with the shape of every value
 * inferred and shape arithmetic folded: what everything else in this package starts from.
 *
 * @throws {OnnxError} `unsupported-opset`, `unsupported-operator` (all of them at once), `invalid-model`,
 * `unknown-shape`.
 */
export function importGraph(model: Model, operators: OperatorTable = standardOperators): Graph {
  return executableGraph(upgradedGraph(model, operators), operators);
}

/**
 * The first half of {@link importGraph}: at the target opset and with shapes, operators still as the model has them, which
 * say what its constants are for.
 */
export function upgradedGraph(model: Model, operators: OperatorTable = standardOperators): Graph {
  const graph = graphFromModel(model);
  upgradeNodes(graph, defaultOpset(model), operators);
  return graph;
}

/** The second half of {@link importGraph}, in place: operators that ONNX Runtime executes, shape arithmetic folded. */
export function executableGraph(graph: Graph, operators: OperatorTable = standardOperators): Graph {
  decomposeNodes(graph, operators);
  foldShapes(graph);
  return graph;
}

/**
 * Appends a whole model to a graph that has been imported, as {@link importGraph} would import it.
 *
 * @param placement what its inputs and values become in the graph
 * @returns its outputs
 */
export function appendModel(
  graph: Graph,
  model: Model,
  placement: Placement,
  operators: OperatorTable = standardOperators,
): readonly Value[] {
  const [before, outputCount] = [graph.nodes, graph.outputs.length];
  graph.nodes = [...before];
  const read = readIntoGraph(graph, model, placement);
  graph.sort();
  const present = new Set(before);
  // The nodes from before have been brought to the target opset already, from another one.
  graph.nodes = graph.nodes.filter((node) => !present.has(node));
  graph.outputs.push(...read);
  upgradeNodes(graph, defaultOpset(model), operators);
  executableGraph(graph, operators);
  graph.nodes = [...before, ...graph.nodes];
  return graph.outputs.splice(outputCount);
}
