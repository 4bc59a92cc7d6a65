import { OnnxError, problemsError, type Problem } from '../error.js';
import type { Graph } from '../graph/graph.js';
import type { Node } from '../graph/node.js';
import type { Value, ValueInfo } from '../graph/value.js';
import type { DType } from '../model/dtype.js';
import type { InferContext, Operator, OperatorTable } from '../operators/operator.js';
import { hasUnknown, isStatic } from './dim.js';
import { broadcastShapes, differentShapes, normalizeAxis, printShape, type Shape } from './shape.js';

/**
 * Fills in dtype, shape and contents of every value of a graph, walking the nodes in order.
 *
 * @throws {OnnxError} as {@link appendNodes}
 */
export function inferShapes(graph: Graph, operators: OperatorTable): void {
  const nodes = graph.nodes;
  graph.nodes = [];
  appendNodes(graph, nodes, operators);
}

/**
 * Appends nodes to a graph, in order, and fills in dtype, shape and contents of everything they compute.
 *
 * @param rewrite sees every node before its shapes are inferred and may append nodes to the graph, which come ahead of
 * it; true when these replace it
 * @throws {OnnxError} `unsupported-operator`, `unknown-shape` or `invalid-node`, naming the node; all of them at once where
 * there are several, except for what only follows from others
 */
export function appendNodes(
  graph: Graph,
  nodes: readonly Node[],
  operators: OperatorTable,
  rewrite: (node: Node) => boolean = () => false,
): void {
  const failures: { readonly node: Node; readonly error: OnnxError }[] = [];
  /** Outputs of nodes that failed and what depends on them: nothing can be said about these. */
  const dark = new Set<Value>();
  const append = (node: Node): OnnxError | undefined => {
    if (!operators.has(node.key)) {
      return problemsError('unsupported-operator', 'the model uses operators that are not supported:', [
        unsupportedOperator(node),
      ]);
    }
    try {
      if (rewrite(node)) return undefined;
      graph.addNode(node);
      inferNode(graph, node, operators);
      return undefined;
    } catch (error) {
      if (error instanceof OnnxError) return error;
      throw error;
    }
  };
  for (const node of nodes) {
    const isDark = node.inputs.some((input) => input !== undefined && dark.has(input));
    // An operator that is not supported is one more reason, wherever it stands.
    const error = isDark && operators.has(node.key) ? undefined : append(node);
    if (error !== undefined) failures.push({ node, error });
    if (isDark || error !== undefined) for (const output of node.outputs) if (output !== undefined) dark.add(output);
  }
  if (failures.length === 0) return;
  const [first] = failures;
  if (failures.length === 1) throw first.error;
  const {
    error: { code },
  } = failures.find(({ error }) => error.code === 'unsupported-operator') ?? first;
  const headline =
    code === 'unsupported-operator'
      ? 'the model uses operators that are not supported:'
      : 'the shapes of the model cannot be inferred:';
  throw problemsError(
    code,
    headline,
    failures.flatMap(({ node, error }) => problemsOf(node, error)),
  );
}

/** What an error of a node says, as findings. */
function problemsOf(node: Node, { problems, message }: OnnxError): readonly Problem[] {
  if (problems.length > 0) return problems;
  const what = message.startsWith(node.label) ? message.slice(node.label.length).replace(/^:? /, '') : message;
  return [{ node: node.name, op: node.key, what }];
}

export function unsupportedOperator(node: Node): Problem {
  const hint = HINTS.find(([ops]) => ops.has(node.op))?.[1] ?? 'export the model without it, or add an entry for it';
  return { node: node.name, op: node.key, what: 'the operator is not supported', hint };
}

/** What to do about operators for which there is more to say. */
const HINTS: readonly (readonly [ReadonlySet<string>, string])[] = [
  [
    new Set([
      'ConvInteger',
      'DynamicQuantizeLinear',
      'DynamicQuantizeMatMul',
      'MatMulInteger',
      'QGemm',
      'QLinearAdd',
      'QLinearConv',
      'QLinearMatMul',
      'QLinearMul',
    ]),
    'it computes with quantized numbers: train the float model that this one was made from, and quantize that again',
  ],
  [new Set(['NonMaxSuppression']), 'it chooses and computes nothing: cut the model before it, and train what is left'],
];

/** Infers one node's outputs and writes the findings into them. */
export function inferNode(graph: Graph, node: Node, operators: OperatorTable): void {
  const operator = operators.get(node.key);
  if (operator === undefined) throw problemsError('unsupported-operator', 'cannot infer:', [unsupportedOperator(node)]);
  const infos = inferOutputs(graph, node, operator);
  node.outputs.forEach((output, i) => {
    if (output === undefined) return;
    if (i >= infos.length) {
      throw new OnnxError(
        'invalid-node',
        `${node.label} has ${node.outputs.length} outputs; at most ${infos.length} exist`,
      );
    }
    refine(output, infos[i], node);
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

function refine(value: Value, info: ValueInfo, node: Node): void {
  const { dtype, shape, contents, flatContents } = info;
  if (value.dtype !== undefined && dtype !== undefined && value.dtype !== dtype) {
    throw new OnnxError(
      'invalid-model',
      `'${value.name}' is declared as ${value.dtype}, but ${node.label} computes ${dtype}; the file contradicts itself`,
    );
  }
  if (value.shape !== undefined && shape !== undefined && differentShapes(value.shape, shape)) {
    throw new OnnxError(
      'invalid-model',
      `'${value.name}' is declared with shape ${printShape(value.shape)}, but ${node.label} computes ${printShape(shape)}`,
    );
  }
  // What is computed counts; what was declared fills the holes.
  const declared = value.shape;
  value.dtype = dtype ?? value.dtype;
  value.shape = shape?.map((dim, i) => (hasUnknown(dim) ? (declared?.[i] ?? dim) : dim)) ?? declared;
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
    broadcast: (...shapes) =>
      broadcastShapes(...shapes) ?? fail(`shapes ${shapes.map(printShape).join(' and ')} do not broadcast together`),
    fail,
  };
}
