import { float } from '../../graph/attribute.js';
import { composite } from '../composite.js';
import { Gemm } from '../gemm.js';
import { activated } from './fused-activation.js';

/** Gemm and an activation. */
export const FusedGemm = composite({
  op: 'FusedGemm',
  domain: 'com.microsoft',
  since: 1,
  native: 'none',
  infer: (ctx) => Gemm.infer(ctx),
  define(ctx) {
    const { e, node } = ctx;
    const { attributes } = node;
    const y = e.node('Gemm', [ctx.input(0), ctx.input(1), ...(ctx.has(2) ? [ctx.input(2)] : [])], {
      alpha: float(attributes.float('alpha', 1)),
      beta: float(attributes.float('beta', 1)),
      transA: attributes.int('transA'),
      transB: attributes.int('transB'),
    });
    const parameters = ['alpha', 'beta'].flatMap((name) => attributes.float(`activation_${name}`) ?? []);
    return [activated(ctx, y, parameters)];
  },
});
