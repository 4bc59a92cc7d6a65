import { divideExactly, isStatic, productOfDims } from '../shape/dim.js';
import { reduction } from './reduction.js';

/** y = Σ x / n with n the number of elements that fall into one; y′ = 1 / n. */
export const ReduceMean = reduction('ReduceMean', 18, ({ e, x, dy, ctx }) => {
  const output = ctx.output();
  const n = divideExactly(productOfDims(ctx.shape(x)), productOfDims(ctx.shape(output)));
  if (n !== undefined && isStatic(n)) return e.scale(dy, 1 / n);
  const count = e.div(e.node('Size', [x]), e.node('Size', [output]));
  return e.div(dy, e.cast(count, x.dtype ?? 'float32'));
});
