import { elementCount } from '@adakit/core';
import type { Node } from '../graph/node.js';
import type { Value } from '../graph/value.js';
import { isStaticShape } from '../shape/shape.js';
import type { Formulation, FormulationContext } from './target.js';

/**
 * Whether ONNX Runtime's CUDA provider has a kernel of its own for a sum: over the first axes or over the last ones. Others
 * are cuDNN's, which take several times as long over the batch and the positions of a convolution's result (9.0 of 31.4 ms of
 * the kernels of a step of ResNet-18 were in 231 launches of them, measured).
 */
export function isMatrixSum(node: Node): boolean {
  return runs(reducedAxes(node) ?? []).length <= 1;
}

/** Whether a mean has to stay one: how many elements it is of is not known. */
export function isUncountedMean(node: Node): boolean {
  return countOf(node) === undefined;
}

/** A sum over the last axes and then over the others, each of which has a kernel of its own on CUDA. */
export const sumInTurn: Formulation = (ctx) => [sum(ctx, reducedAxes(ctx.node) ?? [])];

/** A mean as a sum, which has faster kernels on CUDA. */
export const meanBySum: Formulation = (ctx) => [
  ctx.e.scale(sum(ctx, reducedAxes(ctx.node) ?? []), 1 / (countOf(ctx.node) ?? 1)),
];

function sum({ e, node, input }: FormulationContext, axes: readonly number[]): Value {
  const keepdims = node.attributes.int('keepdims', 1) === 1;
  // The last first: those that are left keep their numbers.
  return runs(axes).reduceRight((value, run) => e.reduceSum(value, run, { keepdims }), input(0));
}

/** Axes in runs without gaps. */
function runs(axes: readonly number[]): readonly (readonly number[])[] {
  const found: number[][] = [];
  for (const axis of axes) {
    const run = found.at(-1);
    if (run?.at(-1) === axis - 1) run.push(axis);
    else found.push([axis]);
  }
  return found;
}

/** The axes that a reduction names, from 0, in order; undefined where they are not known. */
function reducedAxes({ inputs: [x, axes], attributes }: Node): readonly number[] | undefined {
  const rank = x?.shape?.length;
  if (rank === undefined) return undefined;
  const all = Array.from({ length: rank }, (_, i) => i);
  const isNoop = attributes.int('noop_with_empty_axes', 0) === 1;
  if (axes === undefined) return isNoop ? [] : all;
  const { contents } = axes;
  if (contents === undefined || !isStaticShape(contents)) return undefined;
  if (contents.length === 0) return isNoop ? [] : all;
  return contents.map((axis) => (axis < 0 ? axis + rank : axis)).sort((a, b) => a - b);
}

/** How many elements a reduction takes together, where that is known and not nothing. */
function countOf(node: Node): number | undefined {
  const [x] = node.inputs;
  const lengths = reducedAxes(node)?.map((axis) => x?.shape?.[axis]);
  const known = lengths?.filter((length) => typeof length === 'number');
  if (lengths === undefined || known?.length !== lengths.length) return undefined;
  const count = elementCount(known);
  return count === 0 ? undefined : count;
}
