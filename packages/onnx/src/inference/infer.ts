import { OnnxError, problemsError, type OnnxErrorCode, type Problem } from '../error.js';
import type { Graph } from '../graph/graph.js';
import type { Node, Obstacle } from '../graph/node.js';
import type { Value, ValueInfo } from '../graph/value.js';
import type { DType } from '../model/dtype.js';
import type { InferContext, Operator, OperatorTable } from '../entry/operator.js';
import { newerTypes } from './newer-types.js';
import { requireKnownForm } from './schema.js';
import { unsupportedOperator } from './unsupported.js';
import { differentDims, hasUnknown, isStatic } from '../shape/dim.js';
import { broadcastShapes, differentShapes, normalizeAxis, printShape, type Shape } from '../shape/shape.js';

/**
 * Fills in dtype, shape and contents of every value of a graph, walking the nodes in order.
 *
 * @throws {OnnxError} as `appendNodes`
 */
export function inferShapes(graph: Graph, operators: OperatorTable): void {
  const nodes = graph.nodes;
  graph.nodes = [];
  appendNodes(graph, nodes, operators);
}

/** How nodes are appended to a graph. */
export interface Appending {
  /**
   * Sees every node before its shapes are inferred and may append nodes to the graph, which come ahead of it; true when
   * these replace it.
   */
  readonly rewrite?: (node: Node) => boolean;
  /** Whether a node that is not understood means at the target opset what it means in its file. */
  readonly keepsMeaning?: (node: Node) => boolean;
}

/**
 * Appends nodes to a graph, in order, and fills in dtype, shape and contents of everything they compute.
 *
 * Operators that are not supported stay as they are, with what the file says of their outputs, and so does what can not be
 * told any more behind them: they are in nobody's way where no gradient passes. `Node.obstacle` says of each what is wrong.
 *
 * @throws {OnnxError} `invalid-node`, naming the node; all of them at once where there are several, except for what only
 * follows from others
 */
export function appendNodes(
  graph: Graph,
  nodes: readonly Node[],
  operators: OperatorTable,
  { rewrite = () => false, keepsMeaning = () => true }: Appending = {},
): void {
  let isBroken = false;
  for (const node of nodes) {
    node.obstacle = undefined;
    let isUpgraded = false;
    try {
      if (!operators.has(node.key)) throw unsupported([unsupportedOperator(node)]);
      if (rewrite(node)) continue;
      isUpgraded = true;
      graph.addNode(node);
      inferNode(graph, node, operators);
      const newer = newerTypes(node);
      if (newer !== undefined) node.obstacle = { error: unsupported([newer]), runs: false };
    } catch (error) {
      if (!(error instanceof OnnxError) || error.code === 'too-large') throw error;
      if (graph.nodes.at(-1) !== node) graph.addNode(node);
      const before = obstacleBefore(node);
      isBroken ||= before === undefined && !CAN_STAY.has(error.code);
      // What follows from another obstacle is not worth a word of its own.
      const isRoot = before === undefined || error.code === 'unsupported-operator';
      node.obstacle = { error: isRoot ? error : before.error, runs: isUpgraded || keepsMeaning(node) };
    }
  }
  if (isBroken) requireNoObstacles(nodes);
}

/** What is no mistake of the file: ONNX Runtime may know what is not known here. */
const CAN_STAY: ReadonlySet<OnnxErrorCode> = new Set<OnnxErrorCode>(['unsupported-operator', 'unknown-shape']);

/** The obstacle of a node whose results another one reads. */
function obstacleBefore(node: Node): Obstacle | undefined {
  const before = node.reads.find((input) => input?.producer?.obstacle !== undefined);
  return before?.producer?.obstacle;
}

function unsupported(problems: readonly Problem[]): OnnxError {
  return problemsError('unsupported-operator', 'the model uses operators that are not supported:', problems);
}

/** What stands in the way of nodes, every obstacle once. */
export function obstaclesOf(nodes: readonly Node[]): readonly Problem[] {
  const seen = new Set<OnnxError>();
  return nodes.flatMap((node) => {
    const error = node.obstacle?.error;
    if (error === undefined || seen.has(error)) return [];
    seen.add(error);
    return problemsOf(node, error);
  });
}

/** @throws {OnnxError} with what stands in the way of nodes, all at once, where there is anything */
export function requireNoObstacles(nodes: readonly Node[]): void {
  const errors = new Set(nodes.flatMap(({ obstacle }) => obstacle?.error ?? []));
  if (errors.size === 0) return;
  const [first] = errors;
  if (errors.size === 1) throw first;
  const isUnsupported = [...errors].some(({ code }) => code === 'unsupported-operator');
  if (isUnsupported) throw unsupported(obstaclesOf(nodes));
  throw problemsError(first.code, 'the shapes of the model cannot be inferred:', obstaclesOf(nodes));
}

/**
 * Refuses a graph with nodes that ONNX Runtime would understand otherwise than the file means them, or not at all.
 *
 * @param ends what the graph is to compute; by default its outputs
 * @throws {OnnxError} `unsupported-operator`, all of them at once
 */
export function requireRunnable(graph: Graph, ends: readonly Value[] = graph.outputs): void {
  // Most graphs have none.
  if (!graph.nodes.some(isRefused)) return;
  const nodes = nodesBefore(graph, ends).flatMap((node) => [node, ...nodesInside(node)]);
  requireNoObstacles(nodes.filter(({ obstacle }) => obstacle?.runs === false));
}

/** Whether a node must not run, or one inside it. */
function isRefused({ obstacle, bodies }: Node): boolean {
  return obstacle?.runs === false || [...bodies.values()].some(({ nodes }) => nodes.some(isRefused));
}

/** The nodes of a graph that some of its values depend on, in graph order. */
function nodesBefore({ nodes }: Graph, ends: readonly Value[]): readonly Node[] {
  const needed = new Set(ends);
  return nodes
    .toReversed()
    .filter((node) => {
      if (!node.outputs.some((output) => output !== undefined && needed.has(output))) return false;
      for (const input of node.reads) if (input !== undefined) needed.add(input);
      return true;
    })
    .toReversed();
}

function nodesInside({ bodies }: Node): readonly Node[] {
  return [...bodies.values()].flatMap(({ nodes }) => nodes.flatMap((node) => [node, ...nodesInside(node)]));
}

/** What an error of a node says, as findings. */
function problemsOf(node: Node, { problems, message }: OnnxError): readonly Problem[] {
  if (problems.length > 0) return problems;
  const what = message.startsWith(node.label) ? message.slice(node.label.length).replace(/^:? /, '') : message;
  return [{ node: node.name, op: node.key, what }];
}

/** Infers one node's outputs and writes the findings into them. */
export function inferNode(graph: Graph, node: Node, operators: OperatorTable): void {
  const operator = operators.get(node.key);
  if (operator === undefined) throw unsupported([unsupportedOperator(node)]);
  requireKnownForm(node);
  const infos = inferOutputs(graph, node, operator);
  node.outputs.forEach((output, i) => {
    if (output === undefined) return;
    if (i >= infos.length) {
      throw new OnnxError(
        'invalid-node',
        `${node.label} has ${node.outputs.length} outputs; at most ${infos.length} exist`,
      );
    }
    learn(output, infos[i], node);
  });
}

/**
 * Shape rules check what models get wrong in practice. What they trip over in a file that is broken otherwise, such as
 * an input of too low a rank, is an error of the file too.
 */
function inferOutputs(graph: Graph, node: Node, operator: Operator): readonly ValueInfo[] {
  try {
    const infos = operator.infer(inferContext(graph, node));
    if (infos.some(({ shape }) => (shape as readonly unknown[] | undefined)?.includes(undefined) === true)) {
      throw new RangeError('an axis is missing');
    }
    return infos;
  } catch (cause) {
    if (cause instanceof OnnxError || !(cause instanceof Error)) throw cause;
    const shapes = node.inputs.map((input) => printShape(input?.shape)).join(', ');
    throw new OnnxError(
      'invalid-node',
      `${node.label}: its inputs, of shapes ${shapes}, or its attributes do not fit the operator (${cause.message})`,
      { cause },
    );
  }
}

/**
 * Writes what a node computes into one of its outputs. What is computed counts: the shape that a file declares is a hint, as
 * it is for ONNX Runtime, and exporters write the shapes of the one example they saw. It fills the holes as long as it
 * contradicts nothing.
 */
export function learn(value: Value, info: ValueInfo, node: Node): void {
  const { dtype, shape, contents, flatContents } = info;
  if (value.dtype !== undefined && dtype !== undefined && value.dtype !== dtype) {
    throw new OnnxError(
      'invalid-model',
      `'${value.name}' is declared as ${value.dtype}, but ${node.label} computes ${dtype}; the file contradicts itself`,
    );
  }
  const declared = value.shape;
  value.dtype = dtype ?? value.dtype;
  if (shape === undefined || declared === undefined || differentShapes(declared, shape)) {
    value.shape = shape ?? declared;
  } else {
    value.shape = shape.map((dim, i) => (hasUnknown(dim) ? declared[i] : dim));
  }
  value.contents = contents ?? value.contents;
  value.flatContents = flatContents ?? value.flatContents;
}

/** The view of a node that its shape rule gets. */
export function inferContext(graph: Graph, node: Node): InferContext {
  const fail = (what: string): never => {
    throw new OnnxError('invalid-node', `${node.label}: ${what}`);
  };
  const unknownShape = (what: string): never => {
    throw new OnnxError('unknown-shape', `${node.label}: ${what}`);
  };
  const input = (index: number): Value => node.inputs[index] ?? fail(`input ${index} is missing`);
  const shape = (index: number): Shape =>
    input(index).shape ??
    unknownShape(
      `the rank of its input '${input(index).name}' is unknown; fix the sizes of free dimensions (specialize, --dim) or export the model with shapes`,
    );
  const dtype = (index: number): DType =>
    input(index).dtype ?? unknownShape(`the element type of its input '${input(index).name}' is unknown`);
  return {
    node,
    inputCount: node.inputs.length,
    has: (index) => index < node.inputs.length && node.inputs[index] !== undefined,
    input,
    shape,
    rank: (index) => shape(index).length,
    dtype,
    commonDtype: (most) => {
      if (node.inputs.length > most) fail(`has ${node.inputs.length} inputs; the operator takes at most ${most}`);
      const common = dtype(0);
      for (const other of node.inputs) {
        if (other?.dtype === undefined || other.dtype === common) continue;
        fail(
          `its inputs must be of one element type, but '${other.name}' is ${other.dtype} and '${input(0).name}' ${common}`,
        );
      }
      return common;
    },
    contents: (index) => input(index).contents,
    flatContents: (index) => input(index).contents ?? input(index).flatContents,
    staticContents: (index) => {
      const contents = input(index).contents;
      return contents?.every(isStatic) === true ? contents : undefined;
    },
    constant: (index) => input(index).constant,
    axis: (axis, rank) => normalizeAxis(axis, rank) ?? fail(`axis ${axis} is outside a tensor of rank ${rank}`),
    unknownDim: (least) => graph.unknownDim(least),
    same: (a, b) => {
      if (differentDims(a, b)) return undefined;
      graph.equate(a, b);
      return isStatic(b) ? b : a;
    },
    broadcast: (...shapes) =>
      broadcastShapes(...shapes) ?? fail(`shapes ${shapes.map(printShape).join(' and ')} do not broadcast together`),
    fail,
  };
}
