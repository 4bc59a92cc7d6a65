import { dtypeFromCode } from '../../model/dtype.js';
import type { Operator } from '../operator.js';

/** round(x / scale) + zero point, saturated. No straight-through estimate: its derivative is zero. */
export const QuantizeLinear: Operator = {
  op: 'QuantizeLinear',
  since: 13,
  notes: 'no blocks; no straight-through estimate',
  infer: (ctx) => [{ dtype: ctx.has(2) ? ctx.dtype(2) : 'uint8', shape: ctx.shape(0) }],
  gradient: 'zero',
  upgrade({ node, fail }) {
    const { attributes } = node;
    if (attributes.int('block_size', 0) !== 0) fail('has a scale for each block, which opset 18 cannot express');
    const to = attributes.int('output_dtype', 0);
    if (node.inputs[2] === undefined && to !== 0 && dtypeFromCode(to) !== 'uint8') {
      fail('names the type of its result, which opset 18 takes from a zero point; export the model with one');
    }
    for (const name of ['block_size', 'output_dtype', 'precision', 'saturate']) attributes.delete(name);
    return undefined;
  },
};
