import { OnnxError } from '../error.js';
import type { Graph } from '../graph/graph.js';
import { copiedNodes, type Substitution } from '../graph/copy.js';
import { isFed } from '../graph/fed.js';
import type { Node } from '../graph/node.js';
import type { Value } from '../graph/value.js';
import { OPSET } from '../model/opset.js';
import { appendNodes } from '../inference/infer.js';
import { emitterOf } from '../inference/emitter-of.js';
import { standIn } from './lower.js';
import type { EarlyForm, OperatorTable, UpgradeContext } from '../entry/operator.js';

/**
 * Brings every node of a graph from the model's opset to the target opset and infers all shapes, node by node: what a
 * node of an older opset means can depend on the shapes of its inputs.
 *
 * @throws {OnnxError} as `appendNodes`; `unsupported-operator` for a form that the target opset cannot express
 */
export function upgradeNodes(graph: Graph, opset: number, operators: OperatorTable): void {
  const e = emitterOf(graph, operators);
  const used = new Set<Value | undefined>(graph.outputs);
  for (const { reads } of graph.nodes) for (const value of reads) used.add(value);
  const isUsed = (value: Value) => used.has(value);
  const fed = new Set<Value>();
  /** The constants of bodies, which stand once however often the bodies are written out. */
  const constants = new Map<Graph, ReadonlyMap<Value, Value>>();
  const inline = (node: Node, body: Graph, inputs: readonly Value[]): readonly Value[] => {
    const values: Substitution = new Map(constants.get(body));
    body.inputs.forEach((input, i) => values.set(input, inputs[i]));
    const nodes = copiedNodes(body, graph, values, node.name);
    constants.set(body, new Map(body.initializers.map((value) => [value, values.get(value) ?? value])));
    const outputs = body.outputs.map((value) => values.get(value) ?? value);
    for (const output of outputs) used.add(output);
    for (const { reads } of nodes) for (const value of reads) used.add(value);
    appendNodes(graph, nodes, operators, { rewrite, keepsMeaning });
    return outputs;
  };
  const rewrite = (node: Node): boolean => {
    const operator = operators.get(node.key);
    const upgrade = operator?.upgrade;
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
      isFed: (value) => isFed(value, fed),
      fail: (what: string) => refuse(node, what),
    };
    const results = e.named(node.name, () => {
      if (opset < 7) upgradeEarly(context, operator?.early ?? []);
      return upgrade?.(context);
    });
    if (results === undefined) return false;
    standIn(e, node, node.outputs, results);
    return true;
  };
  const keepsMeaning = ({ key, domain }: Node): boolean => {
    const operator = operators.get(key);
    // Other domains keep the versions that the model imports; operators without an upgrade have one form from the first opset on.
    if (domain !== '' || opset === OPSET.target) return true;
    return opset >= 7 && (operator === undefined ? opset < OPSET.target : operator.upgrade === undefined);
  };
  const nodes = graph.nodes;
  graph.nodes = [];
  appendNodes(graph, nodes, operators, { rewrite, keepsMeaning });
}

function refuse(node: Node, what: string): never {
  throw new OnnxError('unsupported-operator', `${node.label} ${what}`);
}

/** Brings a node of an opset before 7, from which on ONNX Runtime executes models, to the form of opset 7, in place. */
function upgradeEarly(ctx: UpgradeContext, forms: readonly EarlyForm[]): void {
  // A hint for reusing memory.
  ctx.node.attributes.delete('consumed_inputs');
  for (const { before, upgrade } of forms) if (ctx.opset < before) upgrade(ctx);
}
