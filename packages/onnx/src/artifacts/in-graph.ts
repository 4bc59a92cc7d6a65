import type { ModelProto } from 'onnx-buf';
import { graphFromModel } from '../graph/from-model.js';
import type { Graph } from '../graph/graph.js';
import type { Model } from '../model/model.js';

/** A model that has been emitted here, to be read into a graph. */
export function emittedModel(proto: ModelProto, source: string): Model {
  if (proto.graph === undefined) throw new Error(`${source} has no graph`);
  return { proto, graph: proto.graph, source };
}

/** The graph of a model that has been emitted here. */
export function graphOf(proto: ModelProto, source: string): Graph {
  return graphFromModel(emittedModel(proto, source));
}
