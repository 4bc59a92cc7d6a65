import type { Operator } from './operator.js';
import { setInput } from './upgrade.js';

/** The k largest (or smallest) elements along an axis and where they were; the cotangent goes back there. */
export const TopK: Operator = {
  op: 'TopK',
  since: 11,
  shape: 'values',
  infer(ctx) {
    const axis = ctx.axis(ctx.node.attributes.int('axis', -1), ctx.rank(0));
    const shape = ctx.shape(0).with(axis, ctx.contents(1)?.[0] ?? ctx.unknownDim(0));
    return [
      { dtype: ctx.dtype(0), shape },
      { dtype: 'int64', shape },
    ];
  },
  gradient(ctx) {
    const { e } = ctx;
    const axis = ctx.node.attributes.int('axis', -1);
    return [e.node('ScatterElements', [e.zerosLike(ctx.input(0)), ctx.output(1), ctx.grad()], { axis })];
  },
  upgrade(ctx) {
    const { node, opset, e } = ctx;
    const k = node.attributes.int('k');
    if (opset >= 10 || k === undefined) return undefined;
    setInput(ctx, 1, e.int64([k]));
    node.attributes.delete('k');
    return undefined;
  },
};
