import { graphFromModel } from './graph/from-model.js';
import type { Graph } from './graph/graph.js';
import type { Model } from './model/model.js';
import { defaultOpset } from './model/opset.js';
import { foldShapes } from './normalize/fold-shapes.js';
import { decomposeNodes } from './operators/decompose.js';
import { operators as standardOperators } from './operators/index.js';
import type { OperatorTable } from './operators/operator.js';
import { upgradeNodes } from './operators/upgrade.js';

/**
 * The graph of a model, at the target opset and in operators that ONNX Runtime executes there, with the shape of every value
 * inferred and shape arithmetic folded: what
 * everything else in this package starts from.
 *
 * @throws {OnnxError} `unsupported-opset`, `unsupported-operator` (all of them at once), `invalid-model`,
 * `unknown-shape`.
 */
export function importGraph(model: Model, operators: OperatorTable = standardOperators): Graph {
  const opset = defaultOpset(model);
  const graph = graphFromModel(model);
  upgradeNodes(graph, opset, operators);
  decomposeNodes(graph, operators);
  foldShapes(graph);
  return graph;
}
