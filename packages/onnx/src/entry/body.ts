import { copiedNodes, type Substitution } from '../graph/copy.js';
import type { Emitter } from '../graph/emitter.js';
import type { Graph } from '../graph/graph.js';
import { Node } from '../graph/node.js';
import type { Value } from '../graph/value.js';
import { equalDims, type Dim } from '../shape/dim.js';
import type { Shape } from '../shape/shape.js';
import type { GradientContext } from './operator.js';

/** A loop is written out as long as that takes no more nodes than this: a session over many takes long to create. */
export const MOST_UNROLLED = 2000;

/** The number of nodes of a body, those of the bodies in it included: as often as a loop that is written out runs. */
export function sizeOf(body: Graph): number {
  return body.nodes.reduce((sum, { key, inputs, bodies }) => {
    const steps = key === 'Loop' ? (inputs[0]?.constant?.toNumbers()[0] ?? 1) : 1;
    const times = steps > MOST_UNROLLED ? 1 : Math.max(steps, 1);
    return [...bodies.values()].reduce((total, inner) => total + times * sizeOf(inner), sum + 1);
  }, 0);
}

/** A body of a node; it is an error of the model when it is missing. */
export function bodyOf({ node, fail }: { node: Node; fail: (what: string) => never }, name: string): Graph {
  return node.bodies.get(name) ?? fail(`lacks its ${name}`);
}

/** The shape of a value that is one of two; undefined when they have different ranks. */
export function eitherShape(a: Shape | undefined, b: Shape | undefined, unknownDim: () => Dim): Shape | undefined {
  if (a?.length !== b?.length) return undefined;
  return a?.map((dim, i) => (b !== undefined && equalDims(dim, b[i]) ? dim : unknownDim()));
}

/**
 * Writes the nodes of a body again inside another graph, to go back through them.
 *
 * @param values what stands for the inputs of the body
 * @returns what stands for its outputs
 */
export function recompute(ctx: GradientContext, inner: Emitter, body: Graph, values: Substitution): readonly Value[] {
  refuseDraws(ctx, body);
  for (const node of copiedNodes(body, inner.graph, values, inner.graph.name)) inner.graph.addNode(node);
  return body.outputs.map((value) => values.get(value) ?? value);
}

/** What is drawn again is another number. */
function refuseDraws(ctx: GradientContext, body: Graph): void {
  for (const node of body.nodes) {
    const training = node.inputs[2];
    const passes = node.key === 'Dropout' && (training === undefined || training.constant?.toNumbers()[0] === 0);
    if (ctx.e.draws(node.key) && !passes) {
      ctx.fail(`its body draws random numbers (${node.label}), which its gradient would have to draw again`);
    }
    for (const each of node.bodies.values()) refuseDraws(ctx, each);
  }
}

/** Adds an output to a body, by a node of its own: one value cannot be two outputs, nor an input an output. */
export function addBodyOutput(body: Graph, value: Value): void {
  const { dtype, shape } = value;
  const output = body.addValue(body.uniqueName(`${body.name}/output`), { dtype, shape });
  body.addNode(new Node({ name: output.name, op: 'Identity', inputs: [value], outputs: [output] }));
  body.outputs.push(output);
}

/** How a scanned input is read or a stacked output is written: along which axis, and whether from the end. */
export interface Direction {
  readonly axis: number;
  readonly turned: boolean;
}

/**
 * Writes a Scan.
 *
 * @param states as they are before the first step
 * @param scanned what is read, a slice a step
 * @param stacked how outputs of the body behind the states are written
 * @returns the states after the last step, and the stacks
 */
export function scan(
  e: Emitter,
  body: Graph,
  states: readonly Value[],
  scanned: readonly (Direction & { readonly outer: Value })[],
  stacked: readonly Direction[],
): readonly Value[] {
  const axes = (list: readonly Direction[]) => list.map(({ axis }) => axis);
  const turns = (list: readonly Direction[]) => list.map(({ turned }) => Number(turned));
  return e.control(
    'Scan',
    [...states, ...scanned.map(({ outer }) => outer)],
    { body },
    {
      num_scan_inputs: scanned.length,
      scan_input_axes: axes(scanned),
      scan_input_directions: turns(scanned),
      ...(stacked.length > 0 && { scan_output_axes: axes(stacked), scan_output_directions: turns(stacked) }),
    },
    states.length + stacked.length,
  );
}
