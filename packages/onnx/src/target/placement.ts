import type { Graph } from '../graph/graph.js';
import type { Node } from '../graph/node.js';
import type { Value } from '../graph/value.js';
import type { Kernel } from './cuda-kernels.js';
import type { Target } from './target.js';

/** Where the nodes of a graph run, and what is copied between them. */
export interface Placement {
  /** Nodes that run on the CPU although the target is another device, bodies included. */
  readonly onCpu: readonly Node[];
  /** Values that are copied to the device at every run, */
  readonly uploads: readonly Value[];
  /** and from it. The device has to be waited for. */
  readonly downloads: readonly Value[];
}

/**
 * Where ONNX Runtime places the nodes of a graph: those without a kernel on the CPU, and with them what is computed from
 * results on the host alone, such as shapes. What a body reads counts for the body; that graphs and loops hand values to
 * bodies is not looked at.
 *
 * @param graph with inferred dtypes, in operators that the target executes
 */
export function placement(graph: Graph, { kernels }: Target): Placement {
  const found = { onCpu: [] as Node[], uploads: new Set<Value>(), downloads: new Set<Value>() };
  if (kernels !== undefined) placeNodes(graph, kernels, found);
  return { onCpu: found.onCpu, uploads: [...found.uploads], downloads: [...found.downloads] };
}

interface Found {
  readonly onCpu: Node[];
  readonly uploads: Set<Value>;
  readonly downloads: Set<Value>;
}

function placeNodes(graph: Graph, kernels: Readonly<Record<string, Kernel>>, found: Found): void {
  /** What is computed on the host, and what on the device. Constants are in either, as needed, and so are inputs. */
  const [host, device] = [new Set<Value>(), new Set<Value>()];
  const folded = new Set<Value>();
  const isConstant = (value: Value | undefined) =>
    value === undefined || value.tensor !== undefined || folded.has(value);
  for (const node of graph.nodes) {
    // What is computed from constants alone the runtime folds when a session is created.
    if (node.bodies.size === 0 && node.inputs.every(isConstant)) {
      for (const output of node.outputs) if (output !== undefined) folded.add(output);
      continue;
    }
    const kernel = kernelOf(node, kernels);
    const inputs = node.inputs.filter((input) => input !== undefined);
    const isPreferred =
      inputs.some((input) => host.has(input)) && inputs.every((input) => host.has(input) || isConstant(input));
    const runsOnCpu = kernel === undefined || (isPreferred && node.bodies.size === 0);
    if (runsOnCpu) found.onCpu.push(node);
    node.inputs.forEach((input, i) => {
      if (input === undefined) return;
      const readOnHost = runsOnCpu || kernel.host?.includes(i) === true || kernel.onHost === true;
      if (readOnHost && device.has(input) && kernel?.onHost !== true) found.downloads.add(input);
      if (!readOnHost && host.has(input)) found.uploads.add(input);
    });
    const results = runsOnCpu || kernel.onHost === true ? host : device;
    for (const output of node.outputs) if (output !== undefined) results.add(output);
    for (const body of node.bodies.values()) placeNodes(body, kernels, found);
  }
}

function kernelOf(node: Node, kernels: Readonly<Record<string, Kernel>>): Kernel | undefined {
  const kernel = Object.hasOwn(kernels, node.key) ? kernels[node.key] : undefined;
  const dtype = node.inputs[0]?.dtype;
  const fits = kernel?.dtypes === undefined || dtype === undefined || kernel.dtypes.includes(dtype);
  return fits ? kernel : undefined;
}
