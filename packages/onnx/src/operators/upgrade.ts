import { OnnxError } from '../error.js';
import { Emitter } from '../graph/emitter.js';
import type { Graph } from '../graph/graph.js';
import { copiedNodes, type Substitution } from '../graph/copy.js';
import type { Node } from '../graph/node.js';
import type { Value } from '../graph/value.js';
import { Tensor } from '../model/tensor.js';
import { appendNodes, inferNode } from '../shape/infer.js';
import { standIn } from './decompose.js';
import { upgradeEarly } from './early.js';
import type { OperatorTable, UpgradeContext } from './operator.js';

/**
 * Brings every node of a graph from the model's opset to the target opset and infers all shapes, node by node: what a
 * node of an older opset means can depend on the shapes of its inputs.
 *
 * @throws {OnnxError} as `appendNodes`; `unsupported-operator` for a form that the target opset cannot express
 */
export function upgradeNodes(graph: Graph, opset: number, operators: OperatorTable): void {
  const e = new Emitter(graph, (node) => {
    inferNode(graph, node, operators);
  });
  const used = new Set<Value | undefined>(graph.outputs);
  for (const { inputs, captures } of graph.nodes) for (const value of [...inputs, ...captures]) used.add(value);
  const isUsed = (value: Value) => used.has(value);
  /** The constants of bodies, which stand once however often the bodies are written out. */
  const constants = new Map<Graph, ReadonlyMap<Value, Value>>();
  const inline = (node: Node, body: Graph, inputs: readonly Value[]): readonly Value[] => {
    const values: Substitution = new Map(constants.get(body));
    body.inputs.forEach((input, i) => values.set(input, inputs[i]));
    const nodes = copiedNodes(body, graph, values, node.name);
    constants.set(body, new Map(body.initializers.map((value) => [value, values.get(value) ?? value])));
    const outputs = body.outputs.map((value) => values.get(value) ?? value);
    for (const output of outputs) used.add(output);
    for (const { inputs, captures } of nodes) for (const value of [...inputs, ...captures]) used.add(value);
    appendNodes(graph, nodes, operators, rewrite);
    return outputs;
  };
  const rewrite = (node: Node): boolean => {
    const upgrade = operators.get(node.key)?.upgrade;
    if (upgrade === undefined && opset >= 7) return false;
    const context: UpgradeContext = {
      node,
      opset,
      e,
      inline: (body, inputs) => inline(node, body, inputs),
      upgradeBody: (body, inputs) => {
        body.inputs.forEach((input, i) => Object.assign(input, inputs[i]));
        upgradeNodes(body, opset, operators);
      },
      isUsed,
      fail: (what: string) => refuse(node, what),
    };
    const results = e.named(node.name, () => {
      if (opset < 7) upgradeEarly(context);
      return upgrade?.(context);
    });
    if (results === undefined) return false;
    standIn(e, node, results);
    return true;
  };
  const nodes = graph.nodes;
  graph.nodes = [];
  appendNodes(graph, nodes, operators, rewrite);
}

function refuse(node: Node, what: string): never {
  throw new OnnxError('unsupported-operator', `${node.label} ${what}`);
}

/** Puts a value at an input of a node; inputs before it that the node does not list count as left out. */
export function setInput(
  { node }: UpgradeContext,
  index: number,
  value: UpgradeContext['node']['inputs'][number],
): void {
  while (node.inputs.length < index) node.inputs.push(undefined);
  node.inputs[index] = value;
}

/** Turns an INTS attribute (or an INT) into the int64 vector that later opsets take as an input. */
export function intsToInput(ctx: UpgradeContext, attribute: string, index: number): void {
  const { node, e } = ctx;
  if (!node.attributes.has(attribute)) return;
  setInput(ctx, index, e.int64(node.attributes.ints(attribute, [])));
  node.attributes.delete(attribute);
}

/** Turns a FLOAT attribute into the scalar, of the dtype of the first input, that later opsets take as an input. */
export function floatToInput(ctx: UpgradeContext, attribute: string, index: number): void {
  const { node, e } = ctx;
  const value = node.attributes.float(attribute);
  if (value === undefined) return;
  setInput(ctx, index, e.scalar(value, node.inputs[0]?.dtype ?? 'float32'));
  node.attributes.delete(attribute);
}

/** Turns a FLOATS attribute into the float32 vector that later opsets take as an input. */
export function floatsToInput(ctx: UpgradeContext, attribute: string, index: number): void {
  const { node, e } = ctx;
  const values = node.attributes.floats(attribute);
  if (values === undefined) return;
  setInput(ctx, index, e.constant(Tensor.of('float32', [values.length], Float32Array.from(values)), attribute));
  node.attributes.delete(attribute);
}
