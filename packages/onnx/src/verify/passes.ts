import type { OperatorTable } from '../entry/operator.js';
import type { Graph } from '../graph/graph.js';
import { checkGraph } from './check-graph.js';

/** What turns a model into a graph to run, in order; docs/onnx-pipeline.md says what each may change. */
export const PASSES = [
  'upgrade',
  'decompose',
  'fold',
  'roll',
  'mode',
  'draw',
  'loss',
  'exchange',
  'nest',
  'split',
  'autocast',
  'differentiate',
  'update',
  'lower',
  'fit',
  'join',
  'merge',
  'prune',
  'arrange',
  'recompute',
] as const;

export type Pass = (typeof PASSES)[number];

/** Where there are environment variables: browsers have none. */
interface Environment {
  readonly process?: { readonly env?: Readonly<Record<string, string | undefined>> };
}

/** The environment variable that switches the checks on, when it is 1. They take about as long as shape inference. */
const CHECK_VARIABLE = 'ADAKIT_CHECK_GRAPHS';

/** Checks a whole graph after a pass, if the environment says so. A body is checked with the graph that it lies in. */
export function afterPass(pass: Pass, graph: Graph, operators: OperatorTable): void {
  if (graph.outer !== undefined || (globalThis as Environment).process?.env?.[CHECK_VARIABLE] !== '1') return;
  try {
    checkGraph(graph, operators);
  } catch (cause) {
    throw new Error(`after the pass '${pass}': ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}
