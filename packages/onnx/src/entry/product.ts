import type { Value } from '../graph/value.js';

/** The factors of a value that is Aᵀ·B and nothing more: a sum over rows. */
export function productOfRows({ producer }: Value): readonly [a: Value, b: Value] | undefined {
  if (producer?.key !== 'Gemm' || producer.inputs.length !== 2) return undefined;
  const { attributes } = producer;
  const isPlain =
    attributes.int('transA', 0) === 1 && attributes.int('transB', 0) === 0 && attributes.float('alpha', 1) === 1;
  const [a, b] = producer.inputs;
  return isPlain && a !== undefined && b !== undefined ? [a, b] : undefined;
}
