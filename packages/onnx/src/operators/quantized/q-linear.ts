import type { ValueInfo } from '../../graph/value.js';
import { Conv } from '../conv.js';
import { MatMul } from '../mat-mul.js';
import type { InferContext, Operator } from '../operator.js';

/**
 * An operator on two quantized values, each followed by its scale and zero point; those of the result come after them.
 * Its shape is that of the operator on floats.
 */
function quantized(op: string, floats: Operator): Operator {
  const infer = (ctx: InferContext): readonly ValueInfo[] => {
    const place = (index: number) => (index === 1 ? 3 : index);
    return floats.infer({
      ...ctx,
      inputCount: 2,
      shape: (index) => ctx.shape(place(index)),
      rank: (index) => ctx.rank(place(index)),
      commonDtype: () => ctx.dtype(7),
    });
  };
  return { op, since: 10, infer, gradient: 'none' };
}

export const QLinearConv = quantized('QLinearConv', Conv);

export const QLinearMatMul = quantized('QLinearMatMul', MatMul);
