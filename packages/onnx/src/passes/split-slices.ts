import type { OperatorTable } from '../entry/operator.js';
import type { Graph } from '../graph/graph.js';
import { Node } from '../graph/node.js';
import type { Value } from '../graph/value.js';
import { emitterOf } from '../inference/emitter-of.js';
import { operators as standardOperators } from '../operators/index.js';
import { isStatic } from '../shape/dim.js';
import { normalizeAxis } from '../shape/shape.js';
import { afterPass } from '../verify/passes.js';

/** A shader of WebGPU binds 8 buffers unless a device allows more; ONNX Runtime's Split binds the value and all pieces. */
const MOST_PIECES = 7;

/** A slice along one axis in steps of one, of known bounds. */
interface Piece {
  readonly node: Node;
  readonly output: Value;
  readonly first: number;
  readonly length: number;
}

/**
 * Has slices that take a value apart along an axis be one Split: queries, keys and values of one product, the gates of an LSTM,
 * which PyTorch exports in another order than it keeps them. The gradient of each slice is as large as the value, with zeros for
 * all others, and these are added up; that of a Split is one Concat.
 */
export function splitSlices(graph: Graph, operators: OperatorTable = standardOperators): void {
  const byAxis = new Map<Value, Map<number, Piece[]>>();
  for (const node of graph.nodes) {
    const read = readPiece(node);
    if (read === undefined) continue;
    const { source, axis, piece } = read;
    const ofSource = byAxis.get(source) ?? new Map<number, Piece[]>();
    byAxis.set(source, ofSource);
    ofSource.set(axis, [...(ofSource.get(axis) ?? []), piece]);
  }
  const splits = new Map<Node, Node | undefined>();
  const e = emitterOf(graph, operators);
  for (const [source, ofSource] of byAxis) {
    for (const [axis, pieces] of ofSource) {
      const parts = pieces.toSorted((a, b) => a.first - b.first);
      if (!isWhole(parts, source.shape?.[axis])) continue;
      const lengths = e.int64(parts.map(({ length }) => length));
      const outputs = parts.map(({ output }) => output);
      const split = new Node({ name: pieces[0].node.name, op: 'Split', inputs: [source, lengths], outputs });
      split.attributes.set('axis', axis);
      for (const { node } of pieces) splits.set(node, node === pieces[0].node ? split : undefined);
    }
  }
  if (splits.size === 0) return;
  graph.nodes = graph.nodes.flatMap((node) => (splits.has(node) ? (splits.get(node) ?? []) : node));
  afterPass('split', graph, operators);
}

function readPiece(node: Node): { readonly source: Value; readonly axis: number; readonly piece: Piece } | undefined {
  if (node.key !== 'Slice' || node.obstacle !== undefined) return undefined;
  const [source, starts, , axes, steps] = node.inputs;
  const [output] = node.outputs;
  const start = only(starts);
  if (source?.shape === undefined || output?.shape === undefined || start === undefined) return undefined;
  if (steps !== undefined && only(steps) !== 1) return undefined;
  const axis = normalizeAxis(axes === undefined ? 0 : (only(axes) ?? NaN), source.shape.length);
  if (axis === undefined) return undefined;
  const [whole, length] = [source.shape[axis], output.shape[axis]];
  if (!isStatic(whole) || !isStatic(length) || length === 0) return undefined;
  const first = Math.max(start < 0 ? start + whole : start, 0);
  return { source, axis, piece: { node, output, first, length } };
}

/** The one number that a value is known to hold. */
function only(value: Value | undefined): number | undefined {
  const contents = value?.contents;
  return contents?.length === 1 && isStatic(contents[0]) ? contents[0] : undefined;
}

/** Whether each piece begins where the one before it ends, and not too many of them are all of it. */
function isWhole(parts: readonly Piece[], whole: unknown): boolean {
  let next = 0;
  for (const { first, length } of parts) {
    if (first !== next) return false;
    next += length;
  }
  return parts.length > 1 && parts.length <= MOST_PIECES && next === whole;
}
