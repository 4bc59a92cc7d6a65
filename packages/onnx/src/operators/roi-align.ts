import type { Operator } from './operator.js';

/** Each region of interest of an image, pooled to one size. */
export const RoiAlign: Operator = {
  op: 'RoiAlign',
  since: 16,
  infer(ctx) {
    const { attributes } = ctx.node;
    const [height, width] = [attributes.int('output_height', 1), attributes.int('output_width', 1)];
    return [{ dtype: ctx.dtype(0), shape: [ctx.shape(1)[0], ctx.shape(0)[1], height, width] }];
  },
  gradient: 'none',
  upgrade({ node, opset }) {
    // Before opset 16 there was no half a pixel to take off.
    if (opset < 16) node.attributes.set('coordinate_transformation_mode', 'output_half_pixel');
    return undefined;
  },
};
