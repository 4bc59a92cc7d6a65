import type { Operator } from './operator.js';

/** Images read at the places of a grid. */
export const GridSample: Operator = {
  op: 'GridSample',
  since: 16,
  notes: 'of two spatial axes',
  infer(ctx) {
    const grid = ctx.shape(1);
    return [{ dtype: ctx.dtype(0), shape: [...ctx.shape(0).slice(0, 2), ...grid.slice(1, -1)] }];
  },
  gradient: 'none',
  upgrade({ node, opset, fail }) {
    if (opset < 20) return undefined;
    if (node.inputs[0]?.shape?.length !== 4) fail('reads other than two spatial axes, which opset 18 cannot express');
    const mode = node.attributes.string('mode', 'linear');
    const before = { linear: 'bilinear', cubic: 'bicubic' }[mode];
    if (before !== undefined) node.attributes.set('mode', before);
    return undefined;
  },
};
