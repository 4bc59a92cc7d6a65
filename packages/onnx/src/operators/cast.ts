import { composite } from '../entry/composite.js';
import type { Operator, UpgradeContext } from '../entry/operator.js';
import { truncatedReals } from '../entry/reals.js';
import { DATA, SETTING } from '../entry/role.js';
import { type DType, dtypeCode, isDifferentiable, requireDType } from '../model/dtype.js';
import { type Dim, isStatic, lowerBound } from '../shape/dim.js';

/** Between float dtypes the cotangent is cast back; nothing flows through integers. */
export const Cast: Operator = {
  op: 'Cast',
  since: 13,
  moves: true,
  followsHead: true,
  early: [{ before: 6, upgrade: castByName }],
  infer(ctx) {
    const to = requireDType(ctx.node.attributes.int('to') ?? ctx.fail("attribute 'to' is missing"), ctx.node.label);
    const contents = ctx.contents(0) ?? truncatedReals(ctx.input(0));
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

/** Its first input in the dtype of its second. */
export const CastLike = composite({
  op: 'CastLike',
  since: 15,
  roles: [DATA, SETTING],
  infer: (ctx) => [{ dtype: ctx.dtype(1), shape: ctx.shape(0), contents: ctx.contents(0) }],
  define: (ctx) => [ctx.e.cast(ctx.input(0), ctx.input(1).dtype ?? ctx.fail('the dtype of its input 1 is unknown'))],
});

const DTYPES: Readonly<Record<string, DType>> = {
  FLOAT: 'float32',
  DOUBLE: 'float64',
  FLOAT16: 'float16',
  INT8: 'int8',
  INT16: 'int16',
  INT32: 'int32',
  INT64: 'int64',
  UINT8: 'uint8',
  UINT16: 'uint16',
  UINT32: 'uint32',
  UINT64: 'uint64',
  BOOL: 'bool',
};

function castByName({ node, fail }: UpgradeContext): void {
  const name = node.attributes.string('to') ?? fail("lacks its attribute 'to'");
  node.attributes.set('to', dtypeCode(DTYPES[name] ?? fail(`casts to '${name}', which is not supported`)));
}
