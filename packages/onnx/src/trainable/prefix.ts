import { closestName } from '@adakit/core';
import { OnnxError } from '../error.js';
import type { Graph } from '../graph/graph.js';
import type { Value } from '../graph/value.js';

/** The part of a model that comes before some place in it. */
export interface Prefix {
  /**
   * Names of values, of nodes, or of scopes of nodes (`/classifier` for `/classifier/0/Gemm`, as exporters name nodes after
   * modules). What a value is computed from comes before it, and what the inputs of nodes are computed from before these;
   * a name that a node and a value share is the node's.
   */
  readonly before: string | readonly string[];
}

/**
 * The values that come before a place, initializers among them.
 *
 * @throws {OnnxError} `invalid-argument` for a name that the graph does not have
 */
export function prefixOf(graph: Graph, { before }: Prefix): ReadonlySet<Value> {
  const found = new Set<Value>();
  const pending: Value[] = [];
  for (const name of typeof before === 'string' ? [before] : before) pending.push(...boundary(graph, name));
  for (let value = pending.pop(); value !== undefined; value = pending.pop()) {
    if (found.has(value)) continue;
    found.add(value);
    if (value.producer === undefined) continue;
    for (const input of [...value.producer.inputs, ...value.producer.captures]) {
      if (input !== undefined) pending.push(input);
    }
  }
  return found;
}

/** Where the prefix ends: a value, or what enters nodes from outside, their own weights not counted. */
function boundary(graph: Graph, name: string): readonly Value[] {
  const exact = graph.nodes.filter((node) => node.name === name);
  const value = graph.value(name);
  if (value !== undefined && exact.length === 0) return [value];
  const nodes = exact.length > 0 ? exact : graph.nodes.filter((node) => node.name.startsWith(`${name}/`));
  if (nodes.length === 0) {
    const outputs = graph.nodes.flatMap((node) => node.outputs.map((output) => output?.name ?? ''));
    const names = [...graph.nodes.map((node) => node.name), ...outputs];
    const suggestion = closestName(name, names);
    throw new OnnxError(
      'invalid-argument',
      `freeze before '${name}': the model has no value, node or scope of that name` +
        (suggestion === undefined ? '; a viewer such as Netron shows the names' : `; did you mean '${suggestion}'?`),
    );
  }
  const inside = new Set(nodes);
  return nodes.flatMap(({ inputs, captures }) =>
    [...inputs, ...captures].filter(
      (input): input is Value =>
        input !== undefined &&
        input.tensor === undefined &&
        (input.producer === undefined || !inside.has(input.producer)),
    ),
  );
}
