import { constantTensor } from '../graph/constant.js';
import { tensorContents } from '../graph/value.js';
import type { Operator } from './operator.js';

export const Constant: Operator = {
  op: 'Constant',
  since: 13,
  infer(ctx) {
    const { attributes } = ctx.node;
    const tensor = constantTensor(ctx.node);
    if (tensor !== undefined) return [{ dtype: tensor.dtype, shape: tensor.dims, contents: tensorContents(tensor) }];
    if (attributes.has('value_string')) return [{ dtype: 'string', shape: [] }];
    const strings = attributes.strings('value_strings');
    if (strings !== undefined) return [{ dtype: 'string', shape: [strings.length] }];
    return ctx.fail('it holds no dense value; store it as a dense tensor');
  },
  gradient: 'none',
};
