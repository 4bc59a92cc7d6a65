import type { Emitter } from './emitter.js';
import type { Value } from './value.js';

/**
 * Makes a value a graph output under `name`, or a free name like it. What cannot be renamed, because it is an input or
 * an output already, goes through an Identity.
 */
export function addOutput(e: Emitter, value: Value, name: string): string {
  const { graph } = e;
  let output = value;
  if (value.producer === undefined || graph.outputs.includes(value)) [output] = e.nodes('Identity', [value], {}, 1);
  while (graph.outputs.includes(output)) [output] = e.nodes('Identity', [output], {}, 1);
  graph.rename(output, graph.uniqueName(name));
  graph.outputs.push(output);
  return output.name;
}
