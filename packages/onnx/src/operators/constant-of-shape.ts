import { tensorContents } from '../graph/value.js';
import { Tensor } from '../model/tensor.js';
import { isStatic } from '../shape/dim.js';
import { MAX_CONTENTS } from '../shape/shape.js';
import type { Operator } from './operator.js';
import { shapeFromInput } from './shape-input.js';

/** A tensor of a computed shape filled with one value. */
export const ConstantOfShape: Operator = {
  op: 'ConstantOfShape',
  since: 9,
  shape: 'values',
  infer(ctx) {
    const value = ctx.node.attributes.tensor('value') ?? Tensor.scalar('float32', 0);
    const shape = shapeFromInput(ctx, 0);
    const fill = tensorContents(value)?.at(0);
    const length = shape.length === 0 ? 1 : shape[0];
    const followed = fill !== undefined && shape.length <= 1 && isStatic(length) && length <= MAX_CONTENTS;
    return [{ dtype: value.dtype, shape, contents: followed ? Array.from({ length }, () => fill) : undefined }];
  },
  gradient: 'none',
};
