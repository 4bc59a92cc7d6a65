import { nearestNames } from '@adakit/core/states';
import { OnnxError } from '../error.js';
import { isFed } from '../graph/fed.js';
import type { Graph } from '../graph/graph.js';
import type { Node } from '../graph/node.js';
import type { Value } from '../graph/value.js';
import { listNames } from './filter.js';

/** The part of a model that comes before some place in it. */
export interface Prefix {
  /**
   * Names of parameters, of values, of nodes or of scopes. Everything that leads to the place comes before it: to a value what
   * it is computed from, to nodes what their inputs are computed from, to a parameter (`fc.weight`) the same of the nodes that
   * use it. A scope is the beginning of the names of nodes (`/classifier` for `/classifier/0/Gemm`) or a module, the beginning
   * of the names of parameters (`classifier` for `classifier.0.weight`), whose nodes are those that use them. A name that a
   * node and a value share is the node's.
   */
  readonly before: string | readonly string[];
}

/**
 * The values that come before a place, initializers among them.
 *
 * @throws {OnnxError} `invalid-argument` for a name that the graph does not have, with the nearest names
 */
export function prefixOf(graph: Graph, { before }: Prefix): ReadonlySet<Value> {
  const found = new Set<Value>();
  const pending: Value[] = [];
  for (const name of typeof before === 'string' ? [before] : before) pending.push(...boundary(graph, name));
  for (let value = pending.pop(); value !== undefined; value = pending.pop()) {
    if (found.has(value)) continue;
    found.add(value);
    for (const input of inputsOf(value.producer)) pending.push(input);
  }
  return found;
}

/** Where the prefix ends: a value, or what enters nodes from outside, their own weights not counted. */
function boundary(graph: Graph, name: string): readonly Value[] {
  const exact = graph.nodes.filter((node) => node.name === name);
  const value = graph.value(name);
  if (exact.length > 0) return entering(graph, exact);
  if (value?.tensor !== undefined) return entering(graph, usersOf(graph, [value]));
  if (value !== undefined) return [value];
  const scope = graph.nodes.filter((node) => [`${name}/`, `/${name}/`].some((start) => node.name.startsWith(start)));
  if (scope.length > 0) return entering(graph, scope);
  const module = `${name.replace(/^\//, '').replaceAll('/', '.')}.`;
  const nodes = usersOf(
    graph,
    graph.initializers.filter((initializer) => initializer.name.startsWith(module)),
  );
  if (nodes.length > 0) return entering(graph, nodes);
  const outputs = graph.nodes.flatMap((node) => node.outputs.map((output) => output?.name ?? ''));
  const names = [...graph.nodes.map((node) => node.name), ...graph.initializers.map((each) => each.name), ...outputs];
  const scopes = names.flatMap((each) => [...each.matchAll(/[/.]/g)].map(({ index }) => each.slice(0, index)));
  const known = new Set([...names, ...scopes].filter((each) => each !== ''));
  throw new OnnxError(
    'invalid-argument',
    `freeze before '${name}': the model has no parameter, value, node or scope of that name; the nearest are ` +
      listNames(nearestNames(name, known)),
  );
}

/** The nodes that use weights for something that is computed from what is fed, also behind a Transpose or the like. */
function usersOf(graph: Graph, weights: readonly Value[]): readonly Node[] {
  if (weights.length === 0) return [];
  const consumers = graph.consumers();
  const users = new Set<Node>();
  const seen = new Set(weights);
  for (const value of seen) {
    for (const node of consumers.get(value) ?? []) {
      for (const output of node.outputs) {
        if (output === undefined) continue;
        if (isFed(output)) users.add(node);
        else seen.add(output);
      }
    }
  }
  return [...users];
}

/** What enters some nodes from outside, on whatever way between them, but for weights. */
function entering(graph: Graph, nodes: readonly Node[]): readonly Value[] {
  const after = new Set<Value>();
  const inside = new Set(nodes);
  for (const node of graph.nodes) {
    if (!inside.has(node) && !inputsOf(node).some((input) => after.has(input))) continue;
    for (const output of node.outputs) if (output !== undefined) after.add(output);
  }
  const found = new Set<Value>();
  const seen = new Set<Node>();
  const pending = [...nodes];
  for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
    if (seen.has(node)) continue;
    seen.add(node);
    for (const input of inputsOf(node)) {
      if (input.producer !== undefined && after.has(input)) pending.push(input.producer);
      else if (input.tensor === undefined && isFed(input)) found.add(input);
    }
  }
  return [...found];
}

function inputsOf(node: Node | undefined): readonly Value[] {
  return node === undefined ? [] : node.reads.filter((input) => input !== undefined);
}
