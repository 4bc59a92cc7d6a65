import { Tensor } from '../model/tensor.js';
import type { Node } from './node.js';

/** The tensor of a Constant node, in whichever attribute it is written; undefined for sparse and string forms. */
export function constantTensor({ attributes }: Node): Tensor | undefined {
  if (attributes.has('value')) return attributes.tensor('value');
  if (attributes.has('value_int')) return Tensor.scalar('int64', attributes.int('value_int', 0));
  if (attributes.has('value_ints')) return Tensor.int64(attributes.ints('value_ints', []));
  if (attributes.has('value_float')) return Tensor.scalar('float32', attributes.float('value_float', 0));
  const floats = attributes.floats('value_floats');
  return floats === undefined ? undefined : Tensor.of('float32', [floats.length], Float32Array.from(floats));
}
