import { requireDType } from '../../model/dtype.js';
import type { Operator } from '../operator.js';

/** A vector of `size` weights that fall off towards the ends. */
function window(op: string): Operator {
  return {
    op,
    since: 17,
    shape: 'values',
    infer(ctx) {
      const { node } = ctx;
      const size = ctx.contents(0)?.[0] ?? ctx.unknownDim(0);
      return [{ dtype: requireDType(node.attributes.int('output_datatype', 1), node.label), shape: [size] }];
    },
    gradient: 'none',
  };
}

export const BlackmanWindow = window('BlackmanWindow');

export const HammingWindow = window('HammingWindow');

export const HannWindow = window('HannWindow');
