import type { Operator } from './operator.js';
import { likeInput } from './composite.js';

/** 1 at the first largest element along an axis, 0 elsewhere. */
export const Hardmax: Operator = {
  op: 'Hardmax',
  since: 13,
  infer(ctx) {
    ctx.axis(ctx.node.attributes.int('axis', -1), ctx.rank(0));
    return likeInput(ctx);
  },
  gradient: 'zero',
  upgrade(ctx) {
    const { node, opset, e } = ctx;
    const [x] = node.inputs;
    if (opset >= 13 || x === undefined) return undefined;
    // Before opset 13 the axes from `axis` (1 unless told) on were one.
    const rank = x.shape?.length ?? ctx.fail(`reads '${x.name}', whose rank is unknown`);
    const given = node.attributes.int('axis', 1);
    const flat = e.node('Flatten', [x], { axis: given });
    if (rank === 2 && given === 1) {
      node.attributes.set('axis', 1);
      return undefined;
    }
    return [e.reshapeLike(e.node('Hardmax', [flat], { axis: 1 }), x)];
  },
};
