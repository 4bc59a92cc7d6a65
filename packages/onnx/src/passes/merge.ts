import type { OperatorTable } from '../entry/operator.js';
import { attributeText, byteText } from '../graph/emitter.js';
import type { Graph } from '../graph/graph.js';
import type { Node } from '../graph/node.js';
import type { Value } from '../graph/value.js';
import { operators as standardOperators } from '../operators/index.js';
import { afterPass } from '../verify/passes.js';

/** Constants up to this many bytes are compared. */
const LARGEST_COMPARED = 4096;

/**
 * Makes what a node computes be computed once: passes emit on their own what earlier ones have. The others are dead then.
 * Nodes with bodies, random numbers and outputs of the graph stay. The nodes must be in order.
 */
export function mergeDuplicates(graph: Graph, operators: OperatorTable = standardOperators): void {
  const outputs = new Set(graph.outputs);
  const serialOf = serials();
  const first = new Map<string, Node>();
  const replaced = new Map<Value, Value>();
  for (const node of graph.nodes) {
    redirect(node, replaced);
    if (node.bodies.size > 0 || node.obstacle !== undefined || operators.get(node.key)?.draws === true) continue;
    const key = [node.key, node.outputs.length, ...node.inputs.map(serialOf), ...attributesOf(node)].join('\u0000');
    const same = first.get(key);
    if (same === undefined) {
      first.set(key, node);
      continue;
    }
    node.outputs.forEach((output, i) => {
      const other = same.outputs[i];
      if (output !== undefined && other !== undefined && !outputs.has(output)) replaced.set(output, other);
    });
  }
  afterPass('merge', graph, operators);
}

/** Numbers for values, the same for constants of the same contents. */
function serials(): (value: Value | undefined) => string {
  const [known, constants] = [new Map<Value, string>(), new Map<string, string>()];
  return (value) => {
    if (value === undefined) return '-';
    let serial = known.get(value);
    if (serial !== undefined) return serial;
    serial = String(known.size);
    const contents = constantKey(value);
    if (contents !== undefined) {
      serial = constants.get(contents) ?? serial;
      constants.set(contents, serial);
    }
    known.set(value, serial);
    return serial;
  };
}

function redirect(node: Node, replaced: ReadonlyMap<Value, Value>): void {
  const swap = (values: (Value | undefined)[]) => {
    values.forEach((value, i) => {
      const other = value && replaced.get(value);
      if (other !== undefined) values[i] = other;
    });
  };
  swap(node.inputs);
  for (const body of node.bodies.values()) {
    swap(body.outputs);
    for (const inner of body.nodes) redirect(inner, replaced);
  }
}

/** The attributes of a node as text, equal where they are. */
export function attributesOf({ attributes }: Node): readonly string[] {
  return attributes.protos().map(attributeText).sort();
}

/** The same text for constants of the same contents. */
export function constantKey({ tensor, producer }: Value): string | undefined {
  if (tensor === undefined || producer !== undefined) return undefined;
  const { data, dtype, dims } = tensor;
  if (!ArrayBuffer.isView(data) || data.byteLength > LARGEST_COMPARED) return undefined;
  const bytes = byteText(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  return [dtype, dims.join(), bytes].join('\u0000');
}
