import { MatMul } from '../mat-mul.js';
import type { Operator } from '../operator.js';

/** A product of 8-bit matrices, in 32 bits. */
export const MatMulInteger: Operator = {
  op: 'MatMulInteger',
  since: 10,
  infer: (ctx) => MatMul.infer({ ...ctx, commonDtype: () => 'int32' }),
  gradient: 'none',
};
