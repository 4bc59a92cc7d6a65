import type { OperatorTable } from '../entry/operator.js';
import type { Emitter } from '../graph/emitter.js';
import type { Graph } from '../graph/graph.js';
import { Node } from '../graph/node.js';
import type { Value } from '../graph/value.js';
import { emitterOf } from '../inference/emitter-of.js';
import { operators as standardOperators } from '../operators/index.js';
import { isStatic } from '../shape/dim.js';
import { isStaticShape } from '../shape/shape.js';
import { afterPass } from '../verify/passes.js';

/**
 * Joins what ONNX Runtime would join, in a graph and the bodies in it: reshapes of reshapes to a known shape, but for one free
 * dimension, are one, a
 * transposition comes after a reshape that splits its axes, and that of a product is the product of its factors, transposed.
 * The runtime puts new nodes in their place, and these it executes at another time than the file has them
 * (see `memory/arrange.ts`).
 */
export function joinNodes(graph: Graph, operators: OperatorTable = standardOperators): void {
  for (const { bodies } of graph.nodes) for (const body of bodies.values()) joinNodes(body, operators);
  const e = emitterOf(graph, operators);
  const uses = graph.consumers();
  const isOutput = new Set(graph.outputs);
  const isTaken = (value: Value): boolean => isOutput.has(value) || (uses.get(value)?.length ?? 0) > 1;
  const { nodes } = graph;
  graph.nodes = [];
  for (const node of nodes) graph.nodes.push(transposedLast(e, joined(e, turnedProduct(node, isTaken)), isTaken));
  afterPass('join', graph, operators);
}

const RESHAPES: ReadonlySet<string> = new Set(['Reshape', 'Squeeze', 'Unsqueeze', 'Flatten']);

/** One reshape for a node and those right before it. */
function joined(e: Emitter, node: Node): Node {
  const source = reshaped(node);
  if (source === undefined) return node;
  let root = source;
  for (let next = reshaped(root.producer); next !== undefined; next = reshaped(root.producer)) root = next;
  const to = root === source ? undefined : newShape(node);
  if (to === undefined) return node;
  return new Node({ name: node.name, op: 'Reshape', inputs: [root, e.int64(to.shape)], outputs: [to.output] });
}

/** What a node gives another shape alone; moving axes of length 1 is no more than that. */
function reshaped(node: Node | undefined): Value | undefined {
  if (node === undefined || node.obstacle !== undefined) return undefined;
  const [input] = node.inputs;
  if (RESHAPES.has(node.key)) return input;
  if (node.key !== 'Transpose' || input?.shape === undefined) return undefined;
  const { shape } = input;
  const long = permutation(node, shape.length).filter((axis) => shape[axis] !== 1);
  return long.every((axis, i) => i === 0 || axis > long[i - 1]) ? input : undefined;
}

/** What a node computes, where its shape can be written down, one free dimension as -1: a 0 would copy a dimension. */
function newShape({
  outputs: [output],
}: Node): { readonly output: Value; readonly shape: readonly number[] } | undefined {
  const shape = output?.shape;
  if (output === undefined || shape === undefined || shape.includes(0)) return undefined;
  if (shape.filter((dim) => !isStatic(dim)).length > 1) return undefined;
  return { output, shape: shape.map((dim) => (isStatic(dim) ? dim : -1)) };
}

function permutation({ attributes }: Node, rank: number): readonly number[] {
  return attributes.ints('perm') ?? Array.from({ length: rank }, (_, axis) => rank - 1 - axis);
}

/** A reshape that splits axes of what has been transposed, as a transposition of what has been reshaped. */
function transposedLast(e: Emitter, node: Node, isTaken: (value: Value) => boolean): Node {
  const [turned] = node.inputs;
  const transposition = turned?.producer;
  const source = transposition?.inputs[0];
  if (!RESHAPES.has(node.key) || turned === undefined || isTaken(turned)) return node;
  if (source === undefined || transposition?.key !== 'Transpose') return node;
  const to = newShape(node);
  const { shape: before } = turned;
  if (to === undefined || before === undefined || !isStaticShape(before)) return node;
  const parts = splitInto(before, to.shape);
  if (parts === undefined) return node;
  const perm = permutation(transposition, parts.length);
  /** By the axis of the source. */
  const lengths = perm.map((_, axis) => parts[perm.indexOf(axis)]);
  const first = lengths.map((_, axis) => lengths.slice(0, axis).reduce((sum, { length }) => sum + length, 0));
  const apart = e.named(node.name, () => e.reshape(source, lengths.flat()));
  const made = e.graph.nodes.at(-1);
  // The reshape may now follow another one.
  if (made?.outputs[0] === apart) e.graph.nodes[e.graph.nodes.length - 1] = joined(e, made);
  const last = new Node({ name: node.name, op: 'Transpose', inputs: [apart], outputs: [to.output] });
  last.attributes.set(
    'perm',
    perm.flatMap((axis) => lengths[axis].map((_, i) => first[axis] + i)),
  );
  return last;
}

/** The pieces of each length in `to`, where every one of `from` is split, or stays; undefined where they are otherwise. */
function splitInto(from: readonly number[], to: readonly number[]): readonly (readonly number[])[] | undefined {
  let next = 0;
  const parts: number[][] = [];
  for (const length of from) {
    const part: number[] = [];
    let product = 1;
    while (next < to.length && (part.length === 0 || product < length)) {
      part.push(to[next]);
      product *= to[next++];
    }
    if (product !== length) return undefined;
    parts.push(part);
  }
  return next === to.length ? parts : undefined;
}

/** (a·b)ᵀ as bᵀ·aᵀ. */
function turnedProduct(node: Node, isTaken: (value: Value) => boolean): Node {
  const [product] = node.inputs;
  const gemm = product?.producer;
  if (node.key !== 'Transpose' || product === undefined || gemm?.key !== 'Gemm' || isTaken(product)) return node;
  const [a, b, bias] = gemm.inputs;
  if (bias !== undefined || permutation(node, 2)[0] !== 1) return node;
  const turned = new Node({
    name: node.name,
    op: 'Gemm',
    inputs: [b, a],
    outputs: node.outputs,
    attributes: gemm.attributes.protos().filter(({ name }) => !name.startsWith('trans')),
  });
  if (gemm.attributes.int('transB', 0) === 0) turned.attributes.set('transA', 1);
  if (gemm.attributes.int('transA', 0) === 0) turned.attributes.set('transB', 1);
  return turned;
}
