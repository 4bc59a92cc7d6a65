import type { Graph } from '../graph/graph.js';
import type { Node } from '../graph/node.js';
import type { Value } from '../graph/value.js';
import { operators as standardOperators } from '../operators/index.js';
import { afterPass } from '../verify/passes.js';

/**
 * Has the largest elements of windows rectified, instead of the largest of what has been rectified: the same numbers, of a
 * quarter of the elements for windows of 2 × 2. Gradients are the same as well: where several elements of a window are equal
 * after Relu and were not before, all are 0, and nothing passes.
 */
export function poolFirst(graph: Graph, operators = standardOperators): void {
  const pools = graph.nodes.filter(isOfWholeWindows);
  if (pools.length === 0) return;
  const uses = graph.consumers();
  const outputs = new Set(graph.outputs);
  const isTaken = (value: Value) => outputs.has(value) || (uses.get(value)?.length ?? 0) > 1;
  /** The Relu that comes after each pool instead of ahead of it. */
  const later = new Map<Node, Node>();
  for (const pool of pools) {
    const relu = pool.inputs[0]?.producer;
    if (relu?.key === 'Relu' && relu.obstacle === undefined && !relu.outputs.some((y) => y && isTaken(y))) {
      later.set(pool, relu);
    }
  }
  if (later.size === 0) return;
  const moved = new Set(later.values());
  graph.nodes = graph.nodes.flatMap((node) => {
    const relu = later.get(node);
    if (relu !== undefined) return [node, rectifyAfter(graph, node, relu)];
    return moved.has(node) ? [] : [node];
  });
  afterPass('exchange', graph, operators);
}

/** Whether a node is a MaxPool whose windows all hold an element, which those with gaps in padding need not, and gives no indices. */
function isOfWholeWindows({ key, obstacle, outputs, attributes }: Node): boolean {
  if (key !== 'MaxPool' || obstacle !== undefined || outputs[1] !== undefined) return false;
  return attributes.ints('dilations', []).every((step) => step === 1);
}

/** Lets a pool take what a Relu takes, and the Relu what the pool gives. */
function rectifyAfter(graph: Graph, pool: Node, relu: Node): Node {
  const [y] = pool.outputs;
  if (y === undefined) throw new Error(`${pool.label} has no output`);
  const { dtype, shape } = y;
  const largest = graph.addValue(graph.uniqueName(`${pool.name}_largest`), { dtype, shape });
  pool.inputs[0] = relu.inputs[0];
  pool.outputs[0] = largest;
  largest.producer = pool;
  relu.inputs[0] = largest;
  relu.outputs[0] = y;
  y.producer = relu;
  return relu;
}
