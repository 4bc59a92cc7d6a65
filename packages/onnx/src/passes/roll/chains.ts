import type { Graph } from '../../graph/graph.js';
import type { Node } from '../../graph/node.js';
import type { Value } from '../../graph/value.js';
import { isDifferentiable } from '../../model/dtype.js';
import type { Numbering } from './numbering.js';

/** Fewer copies are never made a loop: twelve layers that share their weights are a network, not a recurrence. */
export const LEAST_COPIES = 16;

/** The value that each copy hands to the next one, in order of the copies: the outputs of nodes of one form. */
export type Chain = readonly Value[];

/**
 * Chains of nodes that use one weight, each of which depends on the one before through the same input: the values that pass
 * along them.
 */
export function findChains(graph: Graph, { numberOf, formOf }: Numbering): readonly Chain[] {
  const groups = new Map<string, Node[]>();
  const weights = weightNumbers(graph, numberOf);
  if (weights.size === 0) return [];
  for (const node of graph.nodes) {
    const form = formOf(node);
    if (form === undefined) continue;
    node.inputs.forEach((input, i) => {
      const number = numberOf(input);
      if (!weights.has(number)) return;
      const key = `${form} ${i} ${number}`;
      const group = groups.get(key);
      if (group === undefined) groups.set(key, [node]);
      else group.push(node);
    });
  }
  const places = new Map(graph.nodes.map((node, i) => [node, i]));
  const consumers = graph.consumers();
  return [...groups.values()]
    .filter(({ length }) => length >= LEAST_COPIES)
    .flatMap((group) => chainsOf(group, places, consumers, formOf));
}

/** Numbers of float constants with elements along an axis, and of what is computed of them alone, that are used often enough. */
function weightNumbers(graph: Graph, numberOf: Numbering['numberOf']): ReadonlySet<number> {
  const constant = new Set<Value>(graph.initializers.filter(({ dtype }) => isDifferentiable(dtype)));
  const uses = new Map<number, number>();
  for (const { inputs, outputs, bodies } of graph.nodes) {
    for (const input of inputs) {
      if (input === undefined || !constant.has(input) || input.shape?.length === 0) continue;
      const number = numberOf(input);
      uses.set(number, (uses.get(number) ?? 0) + 1);
    }
    if (inputs.length === 0 || bodies.size > 0) continue;
    if (!inputs.every((input) => input === undefined || constant.has(input) || input.tensor !== undefined)) continue;
    for (const output of outputs) if (output !== undefined && isDifferentiable(output.dtype)) constant.add(output);
  }
  return new Set([...uses].flatMap(([number, count]) => (count >= LEAST_COPIES ? [number] : [])));
}

/** One step from a node to one that reads it. */
interface Step {
  readonly form: number | undefined;
  readonly input: number;
  readonly output: number;
}

interface Link {
  readonly input: number;
  /** From a node of the chain to what the next one reads. */
  readonly path: readonly Step[];
}

function chainsOf(
  group: readonly Node[],
  places: ReadonlyMap<Node, number>,
  consumers: ReadonlyMap<Value, readonly Node[]>,
  formOf: Numbering['formOf'],
): readonly Chain[] {
  const chains: Chain[] = [];
  let [run, link]: [Node[], Link | undefined] = [[group[0]], undefined];
  const close = () => {
    if (link !== undefined && run.length >= LEAST_COPIES) {
      const { input, path } = link;
      const passed = run.slice(1).flatMap((node) => node.inputs[input] ?? []);
      const last = follow(run[run.length - 1], path, consumers, formOf);
      chains.push(last === undefined ? passed : [...passed, last]);
    }
  };
  for (let t = 1; t < group.length; t++) {
    const next = linkBetween(group[t - 1], group[t], places, formOf);
    if (next !== undefined && (link === undefined || link.input === next.input)) {
      link ??= next;
      run.push(group[t]);
      continue;
    }
    close();
    [run, link] = [[group[t]], undefined];
  }
  close();
  return chains;
}

/** How a node depends on another one ahead of it, through which of its inputs. */
function linkBetween(
  from: Node,
  to: Node,
  places: ReadonlyMap<Node, number>,
  formOf: Numbering['formOf'],
): Link | undefined {
  const start = places.get(from) ?? 0;
  for (const [input, value] of to.inputs.entries()) {
    if (value?.producer === undefined) continue;
    // Backwards; of each node, the step that leads on from it.
    const onward = new Map<Node, readonly [Node, Step] | undefined>([[value.producer, undefined]]);
    const pending = [value.producer];
    for (const node of pending) {
      if (node === from) return { input, path: pathOf(from, value, onward) };
      node.inputs.forEach((each, i) => {
        const producer = each?.producer;
        if (each === undefined || producer === undefined || onward.has(producer)) return;
        if ((places.get(producer) ?? -1) < start) return;
        onward.set(producer, [node, { form: formOf(node), input: i, output: producer.outputs.indexOf(each) }]);
        pending.push(producer);
      });
    }
  }
  return undefined;
}

function pathOf(from: Node, end: Value, onward: ReadonlyMap<Node, readonly [Node, Step] | undefined>): readonly Step[] {
  const path: Step[] = [];
  let node = from;
  for (let next = onward.get(node); next !== undefined; next = onward.get(node)) {
    path.push(next[1]);
    [node] = next;
  }
  return [...path, { form: undefined, input: -1, output: node.outputs.indexOf(end) }];
}

/** The value at the end of a path from a node, where there is one. */
function follow(
  node: Node,
  [step, ...rest]: readonly Step[],
  consumers: ReadonlyMap<Value, readonly Node[]>,
  formOf: Numbering['formOf'],
): Value | undefined {
  const value = node.outputs[step.output];
  if (rest.length === 0 || value === undefined) return value;
  for (const consumer of consumers.get(value) ?? []) {
    if (formOf(consumer) !== step.form || consumer.inputs[step.input] !== value) continue;
    const end = follow(consumer, rest, consumers, formOf);
    if (end !== undefined) return end;
  }
  return undefined;
}
