import type { Operator } from '../operator.js';

/** x in 8 bits, with the scale and the zero point that its range asks for. */
export const DynamicQuantizeLinear: Operator = {
  op: 'DynamicQuantizeLinear',
  since: 11,
  infer: (ctx) => [
    { dtype: 'uint8', shape: ctx.shape(0) },
    { dtype: 'float32', shape: [] },
    { dtype: 'uint8', shape: [] },
  ],
  gradient: 'none',
};
