import type { Node } from '../graph/node.js';
import { elementsOf } from './live-bytes.js';

/** How many operations a node takes, about: for comparing what it costs to compute values again. */
export function operationsOf({ op, inputs, outputs, attributes }: Node, sizes: ReadonlyMap<string, number>): number {
  const count = (index: number): number => (inputs[index] === undefined ? 0 : (elementsOf(inputs[index], sizes) ?? 0));
  const made = outputs.reduce((sum, output) => sum + (output === undefined ? 0 : (elementsOf(output, sizes) ?? 0)), 0);
  const length = (index: number, axis: number): number => {
    const dim = inputs[index]?.shape?.at(axis);
    return typeof dim === 'number' ? dim : 1;
  };
  switch (op) {
    case 'MatMul':
    case 'Gemm':
    case 'FusedMatMul': {
      // The sum goes over an axis of the weights as a rule, which is known.
      const isTurned = attributes.has('transB') && attributes.int('transB', 0) === 1;
      return 2 * made * length(1, isTurned ? -1 : -2);
    }
    case 'Conv':
      return (2 * made * count(1)) / length(1, 0);
    case 'ConvTranspose':
      return (2 * count(0) * count(1)) / length(1, 0);
    default:
      return inputs.reduce((sum, _, index) => sum + count(index), made);
  }
}
