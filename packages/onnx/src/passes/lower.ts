import type { DefinitionContext, Operator, OperatorTable } from '../entry/operator.js';
import { OnnxError } from '../error.js';
import type { Emitter } from '../graph/emitter.js';
import type { Graph } from '../graph/graph.js';
import { Node } from '../graph/node.js';
import type { Value } from '../graph/value.js';
import { emitterOf } from '../inference/emitter-of.js';
import { learn } from '../inference/infer.js';
import { outputOf } from '../inference/output-of.js';
import { OWN_DOMAIN } from '../model/opset.js';
import { operators as standardOperators } from '../operators/index.js';
import { executes, type Formulation, type FormulationContext, type Target } from '../target/target.js';
import { ortCpu } from '../target/targets.js';
import { afterPass } from '../verify/passes.js';

/**
 * Writes out the nodes that the target does not execute, by the definitions of their operators. Runs before a graph is
 * differentiated: the gradient of an operator by its definition would compute the definition again. Shapes must have been
 * inferred; values keep their names.
 */
export function decomposeNodes(
  graph: Graph,
  operators: OperatorTable = standardOperators,
  target: Target = ortCpu,
): void {
  rewrite(graph, operators, target, (node, operator) =>
    // What a runtime has beside the standard is for formulations: gradients are written for the standard.
    operator?.define === undefined || (operator.domain === undefined && executes(target, node, operator))
      ? undefined
      : operator.define,
  );
}

/**
 * As `decomposeNodes`, with the formulations that the target prefers: what remains are operators that it executes. For
 * graphs that are complete: formulations are written to run, not to be differentiated, and of the values that gradients
 * have added only the outputs of the graph keep their names.
 */
export function lowerNodes(graph: Graph, operators: OperatorTable = standardOperators, target: Target = ortCpu): void {
  rewrite(graph, operators, target, (node, operator) => {
    if (executes(target, node, operator)) return undefined;
    return Object.hasOwn(target.formulations, node.key) ? target.formulations[node.key] : operator?.define;
  });
  afterPass('lower', graph, operators);
}

/** What to write a node in, if in something else. */
export type Choice = (node: Node, operator: Operator | undefined) => Formulation | undefined;

/** Writes nodes, those of bodies included, in other operators. Values keep their names. */
export function rewrite(graph: Graph, operators: OperatorTable, target: Target, choose: Choice): void {
  // What is not understood stays as it is, and its bodies with it.
  const understood = graph.nodes.filter(({ obstacle }) => obstacle === undefined);
  for (const { bodies } of understood) for (const body of bodies.values()) rewrite(body, operators, target, choose);
  const choice = (node: Node) => (node.obstacle === undefined ? choose(node, operators.get(node.key)) : undefined);
  if (!graph.nodes.some((node) => choice(node) !== undefined)) return;
  const e = emitterOf(graph, operators);
  const outputs = new Set(graph.outputs);
  /** What has come in the place of values that are gone. */
  const replaced = new Map<Value, Value>();
  const current = (value: Value): Value => {
    let found = value;
    for (let next = replaced.get(found); next !== undefined; next = replaced.get(found)) found = next;
    return found;
  };
  const place = (node: Node): void => {
    redirect(node, current);
    const write = choice(node);
    if (write === undefined) {
      graph.addNode(node);
      return;
    }
    const start = graph.nodes.length;
    const results = e.named(node.name, () => write(formulationContext(node, e, operators, target)));
    // What has been written may itself have to be written in others.
    for (const each of graph.nodes.splice(start)) place(each);
    const written = graph.nodes.slice(start);
    const own = new Set(written);
    const left = node.outputs.map((output, i): Value | undefined => {
      const result = results[i] && current(results[i]);
      if (output === undefined || result === undefined) return output;
      if (node.domain === OWN_DOMAIN && !outputs.has(output)) replaced.set(output, result);
      else if (result.producer !== undefined && own.has(result.producer) && !node.outputs.includes(result)) {
        takeOver(output, result, node);
        replaced.set(result, output);
      } else return output;
      return undefined;
    });
    for (const each of written) redirect(each, current);
    // What is left stands for a value that has a name already: an input, or another output.
    standIn(
      e,
      node,
      left,
      results.map((result) => result && current(result)),
    );
  };
  const nodes = graph.nodes;
  graph.nodes = [];
  for (const node of nodes) place(node);
  // A node that was written for one may serve another one ahead of it.
  graph.sort();
}

/** Makes a node, and its bodies, use what has come in the place of values. */
function redirect(node: Node, current: (value: Value) => Value): void {
  const swap = (values: (Value | undefined)[]) => {
    values.forEach((value, i) => {
      if (value !== undefined) values[i] = current(value);
    });
  };
  swap(node.inputs);
  for (const body of node.bodies.values()) {
    swap(body.outputs);
    for (const inner of body.nodes) redirect(inner, current);
  }
}

/** Makes the node that computes `result` compute `output`, one of `node`, in its place. */
function takeOver(output: Value, result: Value, node: Node): void {
  const { producer } = result;
  if (producer === undefined) return;
  producer.outputs[producer.outputs.indexOf(result)] = output;
  output.producer = producer;
  learnFrom(result, output, node);
}

/** Fills in what is known of a value of a node that another one stands for. */
function learnFrom(result: Value, output: Value, node: Node): void {
  const { dtype, shape, contents, flatContents } = result;
  learn(output, { dtype, shape, contents, flatContents }, node);
}

/**
 * Gives outputs of a node, which is itself left out of the graph, to the values that stand in for them.
 *
 * @param outputs those concerned, in the order of the node; undefined for others
 */
export function standIn(
  { graph }: Emitter,
  node: Node,
  outputs: readonly (Value | undefined)[],
  results: readonly (Value | undefined)[],
): void {
  outputs.forEach((output, i) => {
    if (output === undefined) return;
    const result = results[i];
    if (result === undefined) {
      throw new OnnxError('unsupported-operator', `${node.label}: its output ${i} ('${output.name}') is not supported`);
    }
    const name = `${node.name}/output_${i}`;
    learnFrom(result, output, node);
    graph.addNode(new Node({ name, op: 'Identity', inputs: [result], outputs: [output] }));
  });
}

function formulationContext(node: Node, e: Emitter, operators: OperatorTable, target: Target): FormulationContext {
  const fail: DefinitionContext['fail'] = (what) => {
    throw new OnnxError('unsupported-operator', `${node.label}: ${what}`);
  };
  return {
    node,
    e,
    target,
    inputCount: node.inputs.length,
    has: (index) => index < node.inputs.length && node.inputs[index] !== undefined,
    input: (index) => node.inputs[index] ?? fail(`input ${index} is missing`),
    outputOf: (other, index) => outputOf(e.graph, other, index, operators),
    constant: (index) => node.inputs[index]?.constant,
    shape: (value) => value.shape ?? fail(`the rank of '${value.name}' is unknown`),
    fail,
  };
}
