import type { OperatorTable } from '../../entry/operator.js';
import type { Graph } from '../../graph/graph.js';
import type { Node } from '../../graph/node.js';
import type { Value } from '../../graph/value.js';
import { attributesOf, constantKey } from '../merge.js';

/** What tells whether two values are the same, and two nodes the same operation on other values. */
export interface Numbering {
  /** Equal for values that are certainly the same, whether or not one node computes them. */
  numberOf(value: Value | undefined): number;
  /** Equal for nodes of the same operator, attributes and number of outputs; undefined for those that must not be repeated. */
  formOf(node: Node): number | undefined;
}

/**
 * Numbers the values of a graph. Exporters write the transposed weight and every constant anew at each step of a recurrence;
 * these count as one.
 *
 * @param fed constants that will change, which are the same as no other, whatever they hold now
 */
export function numbering(graph: Graph, operators: OperatorTable, fed: ReadonlySet<Value>): Numbering {
  const [serials, numbers, forms] = [new Map<string, number>(), new Map<Value, number>(), new Map<Node, number>()];
  const serialOf = (key: string): number => {
    let serial = serials.get(key);
    if (serial === undefined) serials.set(key, (serial = serials.size));
    return serial;
  };
  const numberOf = (value: Value | undefined): number => {
    if (value === undefined) return -1;
    let number = numbers.get(value);
    if (number === undefined) {
      const contents = fed.has(value) ? undefined : constantKey(value);
      numbers.set(value, (number = serialOf(`constant ${contents ?? `of its own ${numbers.size}`}`)));
    }
    return number;
  };
  for (const node of graph.nodes) {
    // Its form in training adds outputs to the graph around it.
    if (node.key === 'BatchNormalization') continue;
    if (node.bodies.size > 0 || node.obstacle !== undefined || operators.get(node.key)?.draws === true) continue;
    if (node.key === 'Identity' && node.outputs[0] !== undefined) {
      numbers.set(node.outputs[0], numberOf(node.inputs[0]));
      continue;
    }
    const form = serialOf(['form', node.key, node.outputs.length, ...attributesOf(node)].join('\u0000'));
    forms.set(node, form);
    const computed = `node ${[form, ...node.inputs.map(numberOf)].join()}`;
    node.outputs.forEach((output, i) => {
      if (output !== undefined) numbers.set(output, serialOf(`${computed} output ${i}`));
    });
  }
  return { numberOf, formOf: (node) => forms.get(node) };
}
