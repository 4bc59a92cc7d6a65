import { Graph } from './graph.js';
import { Node } from './node.js';
import type { Value } from './value.js';

/** What values of a graph are in the place its nodes are copied to. */
export type Substitution = Map<Value, Value>;

/**
 * The nodes of a body for another graph, in order and not yet added. Values that the body computes get new ones there,
 * its constants too; both are noted in `values`, which holds what stands for the inputs of the body. Values of the graphs
 * around the body stay as they are.
 */
export function copiedNodes(body: Graph, to: Graph, values: Substitution, prefix: string): readonly Node[] {
  const place = (value: Value | undefined) => value && (values.get(value) ?? value);
  for (const initializer of body.initializers) {
    const { name, tensor } = initializer;
    if (tensor !== undefined && !values.has(initializer)) {
      values.set(initializer, to.addInitializer(to.uniqueName(`${prefix}/${name}`), tensor));
    }
  }
  return body.nodes.map((node) => {
    const inputs = node.inputs.map(place);
    const bodies = new Map([...node.bodies].map(([name, inner]) => [name, copiedGraph(inner, to, values, prefix)]));
    const outputs = node.outputs.map((output) => {
      if (output === undefined) return undefined;
      const { name, dtype, shape, contents, flatContents, type } = output;
      const copy = to.addValue(to.uniqueName(`${prefix}/${name}`), { dtype, shape, contents, flatContents, type });
      values.set(output, copy);
      return copy;
    });
    const { op, domain, obstacle, source } = node;
    return new Node({
      name: `${prefix}/${node.name}`,
      op,
      domain,
      inputs,
      outputs,
      attributes: node.attributes.protos(),
      bodies,
      obstacle,
      ...(source === undefined ? {} : { source }),
    });
  });
}

/** A body with the same nodes inside another graph. */
export function copiedGraph(body: Graph, outer: Graph, around: Substitution, prefix: string): Graph {
  const copy = new Graph(`${prefix}/${body.name}`, outer);
  const values: Substitution = new Map(around);
  for (const input of body.inputs) {
    const { name, dtype, shape, type } = input;
    values.set(input, copy.addInput(copy.uniqueName(`${prefix}/${name}`), { dtype, shape, type }));
  }
  for (const node of copiedNodes(body, copy, values, prefix)) copy.addNode(node);
  copy.outputs.push(...body.outputs.map((value) => values.get(value) ?? value));
  return copy;
}
