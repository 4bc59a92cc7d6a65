import type { Problem } from '../error.js';
import type { Node } from '../graph/node.js';

/** The finding about a node whose operator has no entry in the table. */
export function unsupportedOperator(node: Node): Problem {
  const hint = QUANTIZED.has(node.op) ? QUANTIZED_HINT : OTHERWISE_HINT;
  return { node: node.name, op: node.key, what: 'the operator is not supported', hint };
}

const OTHERWISE_HINT =
  'train what comes after it alone, with the shape of its result in the file, or export the model without it';

/** Operators without an entry that compute with quantized numbers; those with one say so themselves (`obstacle`). */
const QUANTIZED: ReadonlySet<string> = new Set(['DynamicQuantizeMatMul', 'QGemm', 'QLinearAdd', 'QLinearMul']);

const QUANTIZED_HINT =
  'it computes with quantized numbers: train the float model that this one was made from, and quantize that again';
