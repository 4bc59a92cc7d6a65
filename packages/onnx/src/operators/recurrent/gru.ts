import { recurrent } from './recurrent.js';

/**
 * z = f(xz + h Rz), r = f(xr + h Rr), n = g(xn + (r ⊙ h) Rn + bn) or, with `linear_before_reset`,
 * n = g(xn + r ⊙ (h Rn + bn)); h′ = (1 − z) ⊙ n + z ⊙ h. (W and the other biases are in the x.)
 */
export const GRU = recurrent({
  op: 'GRU',
  gates: 3,
  activations: ['Sigmoid', 'Tanh'],
  hasCell: false,
  separateBias: ({ node }) => (node.attributes.int('linear_before_reset', 0) === 0 ? [] : [2]),
  step({ e, ctx, projected: [xz, xr, xn], state: [h], recurrent: [rz, rr, rn], recurrentBias, activate }) {
    const z = activate(0, e.add(xz, e.matMul(h, rz)));
    const r = activate(0, e.add(xr, e.matMul(h, rr)));
    const late = ctx.node.attributes.int('linear_before_reset', 0) !== 0;
    const product = e.matMul(h, rn);
    const linear = recurrentBias === undefined ? product : e.add(product, recurrentBias[2]);
    const n = activate(1, e.add(xn, late ? e.mul(r, linear) : e.matMul(e.mul(r, h), rn)));
    return [e.add(e.mul(e.sub(e.scalar(1, z), z), n), e.mul(z, h))];
  },
});
