import { composite, likeInput } from './composite.js';
import { axesFrom, mean } from './normalization.js';
import type { Operator } from './operator.js';

/** y = scale · x / √(E x² + ε) over the axes from `axis` to the last. */
export const RMSNormalization = rootMeanSquare('RMSNormalization', 23);

/** As ONNX Runtime called it before opset 23, in the default domain all the same. */
export const SimplifiedLayerNormalization = rootMeanSquare('SimplifiedLayerNormalization', 1);

function rootMeanSquare(op: string, since: number): Operator {
  return composite({
    op,
    since,
    native: 'none',
    infer(ctx) {
      ctx.axis(ctx.node.attributes.int('axis', -1), ctx.rank(0));
      return likeInput(ctx);
    },
    define(ctx) {
      const { e, node } = ctx;
      const x = ctx.input(0);
      const rank = ctx.shape(x).length;
      const axis = node.attributes.int('axis', -1);
      const square = mean(e, e.square(x), axesFrom(axis < 0 ? axis + rank : axis, rank));
      const root = e.sqrt(e.add(square, e.scalar(node.attributes.float('epsilon', 1e-5), x)));
      return [e.mul(e.div(x, root), ctx.input(1))];
    },
  });
}
