import type { Emitter } from '../graph/emitter.js';
import type { Node } from '../graph/node.js';
import type { Value } from '../graph/value.js';
import type { Formulation } from './target.js';

/** ONNX Runtime's product of matrices that are transposed on the way; on the CPU and on CUDA in all but double precision. */
export const FUSED_PRODUCT = 'com.microsoft::FusedMatMul';

const isFused = ({ dtype }: Value): boolean => dtype !== 'float64';

/** Whether both factors of a product are as they are in memory, or ONNX Runtime could not transpose them on the way. */
export function isPlainProduct({ inputs: [a, b] }: Node): boolean {
  return a === undefined || !isFused(a) || (transposed(a) === undefined && transposed(b) === undefined);
}

/**
 * A · B with factors that are transposed first, without the copies: ONNX Runtime fuses the nodes itself at higher levels of
 * optimization only, at which sessions over training graphs take long to create.
 */
export const fusedProduct: Formulation = ({ e, input }) => [matMul(e, input(0), input(1))];

/** A · B, in which matrices that are transposed last are read as they lie in memory. */
function matMul(e: Emitter, a: Value, b: Value): Value {
  const [first, second] = [transposed(a), transposed(b)];
  return fused(e, first ?? a, second ?? b, { transA: first !== undefined, transB: second !== undefined });
}

/** A · Bᵀ over the last two axes. */
export function timesTransposed(e: Emitter, a: Value, b: Value): Value {
  return isFused(a) ? fused(e, a, b, { transA: false, transB: true }) : e.matMul(a, e.matrixTranspose(b));
}

function fused(e: Emitter, a: Value, b: Value, { transA, transB }: { transA: boolean; transB: boolean }): Value {
  return e.node(FUSED_PRODUCT, [a, b], { transA: transA ? 1 : undefined, transB: transB ? 1 : undefined });
}

/** What a value is the transpose of, over the last two axes. */
function transposed(value: Value | undefined): Value | undefined {
  const node = value?.producer;
  if (node?.key !== 'Transpose') return undefined;
  const rank = value?.shape?.length ?? 0;
  const perm = node.attributes.ints('perm') ?? Array.from({ length: rank }, (_, i) => rank - 1 - i);
  const isSwap = perm.length >= 2 && perm.every((axis, i) => axis === swapped(i, perm.length));
  return isSwap ? node.inputs[0] : undefined;
}

function swapped(axis: number, rank: number): number {
  return axis < rank - 2 ? axis : 2 * rank - 3 - axis;
}
