import { elementCount } from '@adakit/core';
import type { OperatorTable } from '../entry/operator.js';
import { OnnxError } from '../error.js';
import type { Graph } from '../graph/graph.js';
import type { Node } from '../graph/node.js';
import type { Value, ValueInfo } from '../graph/value.js';
import { inferContext } from '../inference/infer.js';
import { isStatic } from '../shape/dim.js';
import { differentShapes, isStaticShape, printShape } from '../shape/shape.js';

/**
 * What every graph between two passes satisfies:
 * - single assignment: a value is an input, an initializer or an output of one node, which knows it (`producer`);
 * - names: a value is in the graph under its own name;
 * - order: what a node uses is computed before it, in its graph or around it;
 * - bodies lie in the graph of their node, and satisfy the same;
 * - shapes and dtypes are what the shape rule says, as far as it says any and the node has no obstacle, and known elements are
 *   as many as the shape has.
 *
 * @throws {Error} listing what is violated. That is a defect of the pass that wrote the graph, not of the model
 */
export function checkGraph(graph: Graph, operators: OperatorTable): void {
  const problems = graphProblems(graph, operators);
  if (problems.length > 0) throw new Error([`graph '${graph.name}' is not sound:`, ...problems].join('\n  '));
}

/** What {@link checkGraph} finds violated, one sentence each. */
export function graphProblems(graph: Graph, operators: OperatorTable): readonly string[] {
  const problems: string[] = [];
  inspect(graph, operators, { isDefinedAround: () => false, isUnderstood: true }, problems);
  return problems;
}

/** What a graph lies in. */
interface Surroundings {
  readonly isDefinedAround: (value: Value) => boolean;
  /** Whether no node around it has an obstacle: what is not understood is taken from the file, and its bodies with it. */
  readonly isUnderstood: boolean;
}

function inspect(
  graph: Graph,
  operators: OperatorTable,
  { isDefinedAround, isUnderstood }: Surroundings,
  problems: string[],
): void {
  const defined = new Set<Value>();
  const isDefined = (value: Value) => defined.has(value) || isDefinedAround(value);
  const define = (value: Value, producer: Node | undefined) => {
    const by = producer?.label ?? `graph '${graph.name}'`;
    if (defined.has(value)) problems.push(`${by} defines '${value.name}', which is defined already`);
    if (value.producer !== producer) problems.push(`'${value.name}' of ${by} names another producer`);
    if (!graph.owns(value)) problems.push(`'${value.name}' of ${by} is not in its graph under that name`);
    problems.push(...contentProblems(value));
    defined.add(value);
  };
  for (const value of new Set([...graph.inputs, ...graph.initializers])) define(value, undefined);
  if (new Set(graph.inputs).size < graph.inputs.length) problems.push(`graph '${graph.name}' lists an input twice`);
  for (const node of graph.nodes) {
    for (const input of node.inputs) {
      if (input !== undefined && !isDefined(input)) {
        problems.push(`${node.label} uses '${input.name}', which is not computed before it`);
      }
    }
    for (const [name, body] of node.bodies) {
      if (body.outer !== graph) problems.push(`the ${name} of ${node.label} does not lie in the graph of the node`);
      const around = { isDefinedAround: isDefined, isUnderstood: isUnderstood && node.obstacle === undefined };
      inspect(body, operators, around, problems);
    }
    for (const output of node.outputs) if (output !== undefined) define(output, node);
    if (isUnderstood && node.obstacle === undefined) problems.push(...inferenceProblems(graph, node, operators));
  }
  for (const output of graph.outputs) {
    if (!isDefined(output)) problems.push(`the output '${output.name}' of graph '${graph.name}' is not computed`);
  }
}

function contentProblems({ name, shape, contents }: Value): readonly string[] {
  if (contents === undefined || shape === undefined || !isStaticShape(shape)) return [];
  const size = elementCount(shape);
  return contents.length === size
    ? []
    : [`'${name}' of shape ${printShape(shape)} has ${contents.length} known elements`];
}

/** Where the outputs of a node are other than its shape rule says. */
function inferenceProblems(graph: Graph, node: Node, operators: OperatorTable): readonly string[] {
  const operator = operators.get(node.key);
  if (operator === undefined) return [`${node.label} is of an operator that the table does not have`];
  let infos: readonly ValueInfo[];
  try {
    infos = operator.infer(inferContext(graph, node));
  } catch (error) {
    if (!(error instanceof OnnxError)) throw error;
    return [error.message];
  }
  return node.outputs.flatMap((output, i): readonly string[] => {
    if (output === undefined) return [];
    if (i >= infos.length) return [`${node.label} has ${node.outputs.length} outputs; its rule knows ${infos.length}`];
    const { dtype, shape, contents } = infos[i];
    const found: string[] = [];
    if (dtype !== undefined && dtype !== output.dtype) {
      found.push(`'${output.name}' is ${output.dtype ?? 'of no dtype'}; ${node.label} computes ${dtype}`);
    }
    if (shape !== undefined && (output.shape === undefined || differentShapes(shape, output.shape))) {
      found.push(`'${output.name}' has shape ${printShape(output.shape)}; ${node.label} computes ${printShape(shape)}`);
    }
    const contradicts = contents?.some((element, k) => {
      const known = output.contents?.[k];
      return known !== undefined && isStatic(element) && isStatic(known) && element !== known;
    });
    if (contradicts === true) found.push(`the known elements of '${output.name}' are not those of ${node.label}`);
    return found;
  });
}
