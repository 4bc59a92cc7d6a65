import { isDifferentiable, requireDType } from '../model/dtype.js';
import { isStatic, lowerBound, type Dim } from '../shape/dim.js';
import type { Operator } from './operator.js';

/** Between float dtypes the cotangent is cast back; nothing flows through integers. */
export const Cast: Operator = {
  op: 'Cast',
  since: 13,
  infer(ctx) {
    const to = requireDType(ctx.node.attributes.int('to') ?? ctx.fail("attribute 'to' is missing"), ctx.node.label);
    const contents = ctx.contents(0);
    const truths = contents?.map(truth);
    return [
      {
        dtype: to,
        shape: ctx.shape(0),
        contents:
          to === 'int64' || to === 'int32'
            ? contents
            : to === 'bool' && truths?.every((known) => known !== undefined) === true
              ? truths
              : undefined,
      },
    ];
  },
  gradient(ctx) {
    const dtype = ctx.input(0).dtype;
    return [dtype !== undefined && isDifferentiable(dtype) ? ctx.e.cast(ctx.grad(), dtype) : undefined];
  },
  upgrade({ node }) {
    // Both only concern casts to 8-bit floats, and opset 18 does not know them.
    node.attributes.delete('saturate');
    node.attributes.delete('round_mode');
    return undefined;
  },
};

function truth(dim: Dim): number | undefined {
  if (isStatic(dim)) return dim === 0 ? 0 : 1;
  return lowerBound(dim) > 0 ? 1 : undefined;
}
