import type { Value } from '../../graph/value.js';
import { equalDims } from '../../shape/dim.js';
import type { Shape } from '../../shape/shape.js';
import { composite } from '../composite.js';

/** y = alpha · op(a) · op(b), op being the transpose of the last two axes or nothing. */
export const FusedMatMul = composite({
  op: 'FusedMatMul',
  domain: 'com.microsoft',
  since: 1,
  notes: 'no transposed batches; rank 2 and above',
  native: 'none',
  infer(ctx) {
    const turned = (index: number, attribute: string): Shape => {
      const shape = ctx.shape(index);
      if (shape.length < 2) ctx.fail('it multiplies values of rank 2 and above');
      if (ctx.node.attributes.int(attribute, 0) === 0) return shape;
      return [...shape.slice(0, -2), shape[shape.length - 1], shape[shape.length - 2]];
    };
    const [a, b] = [turned(0, 'transA'), turned(1, 'transB')];
    const [inner, other] = [a[a.length - 1], b[b.length - 2]];
    if (typeof inner === 'number' && typeof other === 'number' && !equalDims(inner, other)) {
      ctx.fail(`rows of ${inner} do not fit columns of ${other}`);
    }
    const batch = ctx.broadcast(a.slice(0, -2), b.slice(0, -2));
    return [{ dtype: ctx.dtype(0), shape: [...batch, a[a.length - 2], b[b.length - 1]] }];
  },
  define(ctx) {
    const { e, node } = ctx;
    for (const name of ['transBatchA', 'transBatchB']) {
      if (node.attributes.int(name, 0) !== 0)
        ctx.fail(`its ${name} is not supported; optimize the model at a lower level`);
    }
    const turned = (x: Value, attribute: string) =>
      node.attributes.int(attribute, 0) === 0 ? x : e.matrixTranspose(x);
    const product = e.matMul(turned(ctx.input(0), 'transA'), turned(ctx.input(1), 'transB'));
    return [e.scale(product, node.attributes.float('alpha', 1))];
  },
});
