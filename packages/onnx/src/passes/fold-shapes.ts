import { Emitter } from '../graph/emitter.js';
import type { Graph } from '../graph/graph.js';
import type { Node } from '../graph/node.js';
import type { Value } from '../graph/value.js';
import type { DType } from '../model/dtype.js';
import { Tensor, toInt64 } from '../model/tensor.js';
import { isStatic } from '../shape/dim.js';

/**
 * Replaces integers that shape inference knows by constants: the shape arithmetic that exporters emit, which otherwise
 * costs a node launch each at every step and time when a session is created. A Reshape whose new shape has one free
 * dimension gets it as -1. Nodes that nothing needs any more are left to `Graph.removeDead`.
 */
export function foldShapes(graph: Graph): void {
  // Only constants are emitted, for which nothing needs to be inferred.
  const e = new Emitter(graph);
  const folded = new Map<Value, Value | undefined>();
  const fold = (value: Value): Value | undefined => {
    if (!folded.has(value)) folded.set(value, knownConstant(e, value));
    return folded.get(value);
  };
  for (const node of graph.nodes) {
    node.inputs.forEach((input, i) => {
      if (input?.producer !== undefined && input.contents !== undefined) node.inputs[i] = fold(input) ?? input;
    });
    if (node.key === 'Reshape') foldReshape(e, node);
    for (const body of node.bodies.values()) foldShapes(body);
  }
}

/** A constant with the contents of a value, when they are all known. */
function knownConstant(e: Emitter, { dtype, shape, contents }: Value): Value | undefined {
  if (shape === undefined || contents?.every(isStatic) !== true || !shape.every(isStatic)) return undefined;
  const data = dtype === undefined ? undefined : ELEMENTS[dtype]?.(contents);
  return dtype === undefined || data === undefined ? undefined : e.constant(Tensor.of(dtype, shape, data), 'folded');
}

const ELEMENTS: Partial<Record<DType, (contents: readonly number[]) => BigInt64Array | Int32Array | Uint8Array>> = {
  int64: toInt64,
  int32: (contents) => Int32Array.from(contents),
  bool: (contents) => Uint8Array.from(contents),
};

function foldReshape(e: Emitter, node: Node): void {
  const shape = node.outputs[0]?.shape;
  // A zero in a written shape would mean "copy" and leave -1 nothing to divide by.
  if (node.inputs[1]?.tensor !== undefined || shape === undefined || shape.includes(0)) return;
  if (shape.filter((dim) => !isStatic(dim)).length > 1) return;
  node.inputs[1] = e.int64(shape.map((dim) => (isStatic(dim) ? dim : -1)));
}
