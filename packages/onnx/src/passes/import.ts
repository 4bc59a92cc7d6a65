import { graphFromModel, readIntoGraph, type Placement } from '../graph/from-model.js';
import type { Graph } from '../graph/graph.js';
import type { Value } from '../graph/value.js';
import type { Model } from '../model/model.js';
import { defaultOpset } from '../model/opset.js';
import { requireRunnable } from '../inference/infer.js';
import { foldShapes } from './fold-shapes.js';
import { decomposeNodes } from './lower.js';
import { operators as standardOperators } from '../operators/index.js';
import type { OperatorTable } from '../entry/operator.js';
import type { Target } from '../target/target.js';
import { ortCpu } from '../target/targets.js';
import { upgradeNodes } from './upgrade.js';
import { afterPass } from '../verify/passes.js';

/**
 * The graph of a model, at the target opset and in operators that the target executes there, with the shape of every value
 * inferred and shape arithmetic folded: what everything else in this package starts from.
 *
 * @throws {OnnxError} `unsupported-opset`, `unsupported-operator` (all of them at once), `invalid-model`,
 * `unknown-shape`.
 */
export function importGraph(
  model: Model,
  operators: OperatorTable = standardOperators,
  target: Target = ortCpu,
): Graph {
  const graph = executableGraph(upgradedGraph(model, operators), operators, target);
  requireRunnable(graph);
  return graph;
}

/**
 * The first half of {@link importGraph}: at the target opset and with shapes, operators still as the model has them, which
 * say what its constants are for.
 */
export function upgradedGraph(model: Model, operators: OperatorTable = standardOperators): Graph {
  const graph = graphFromModel(model);
  upgradeNodes(graph, defaultOpset(model), operators);
  afterPass('upgrade', graph, operators);
  return graph;
}

/** The second half of {@link importGraph}, in place: operators that the target executes, shape arithmetic folded. */
export function executableGraph(
  graph: Graph,
  operators: OperatorTable = standardOperators,
  target: Target = ortCpu,
): Graph {
  decomposeNodes(graph, operators, target);
  afterPass('decompose', graph, operators);
  foldShapes(graph);
  afterPass('fold', graph, operators);
  return graph;
}

/**
 * Appends a whole model to a graph that has been imported, as {@link importGraph} would import it. What another target than
 * the default lacks is left to `lowerNodes`.
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
  decomposeNodes(graph, operators);
  foldShapes(graph);
  graph.nodes = [...before, ...graph.nodes];
  return graph.outputs.splice(outputCount);
}
