import type { Graph } from '../graph/graph.js';
import type { Node } from '../graph/node.js';

/**
 * Nodes by number, in the order of the file, and the numbers of those that compute what each one uses: all that the order of
 * execution depends on.
 */
export interface Dependencies {
  readonly sources: readonly (readonly number[])[];
}

/** What the nodes of a graph depend on. Values of graphs around it are there before it runs. */
export function dependenciesOf({ nodes }: Pick<Graph, 'nodes'>): Dependencies {
  const numbers = new Map<Node, number>(nodes.map((node, number) => [node, number]));
  /** By the number of a source, the last one found that uses it: each counts once. */
  const users = new Int32Array(nodes.length).fill(-1);
  return {
    sources: nodes.map((node, user) => {
      const found: number[] = [];
      for (const input of node.reads) {
        const number = input?.producer && numbers.get(input.producer);
        if (number === undefined || users[number] === user) continue;
        users[number] = user;
        found.push(number);
      }
      return found;
    }),
  };
}

/**
 * The order in which ONNX Runtime executes nodes, one after the other: it goes back from what nobody uses, the last of the
 * file first, to what that needs, again the last of the file first, and executes on the way out (GraphViewer, its default
 * order). So a node runs as late as possible, and the order of the file decides between those that could come first.
 *
 * @returns numbers of nodes
 */
export function executionOrder({ sources }: Dependencies): readonly number[] {
  const count = sources.length;
  const isUsed = new Uint8Array(count);
  for (const list of sources) for (const source of list) isUsed[source] = 1;
  const ordered = sources.map((list) => [...list].sort((a, b) => a - b));
  const pending: number[] = [];
  for (let number = 0; number < count; number++) if (isUsed[number] === 0) pending.push(number);
  const isVisited = new Uint8Array(count);
  const order: number[] = [];
  for (let number = pending.pop(); number !== undefined; number = pending.pop()) {
    if (number < 0) {
      order.push(~number);
      continue;
    }
    if (isVisited[number] === 1) continue;
    isVisited[number] = 1;
    // Once what it needs has been executed, which lies above on the stack.
    pending.push(~number);
    for (const source of ordered[number]) if (isVisited[source] === 0) pending.push(source);
  }
  return order;
}
