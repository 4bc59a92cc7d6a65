import { recurrent } from '../entry/recurrent/recurrent.js';

/** h′ = f(x Wᵀ + h Rᵀ + b). */
export const RNN = recurrent({
  op: 'RNN',
  gates: 1,
  activations: ['Tanh'],
  hasCell: false,
  step({ e, projected: [x], state: [h], recurrent: [r], activate }) {
    return [activate(0, e.add(x, e.matMul(h, r)))];
  },
});

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

/**
 * i = f(xi + h Ri + pi ⊙ c), o = f(xo + h Ro + po ⊙ c′), forget = f(xf + h Rf + pf ⊙ c) (or 1 − i with `input_forget`),
 * n = g(xn + h Rn); c′ = forget ⊙ c + i ⊙ n, h′ = o ⊙ k(c′). (W and the biases are in the x.)
 */
export const LSTM = recurrent({
  op: 'LSTM',
  gates: 4,
  activations: ['Sigmoid', 'Tanh', 'Tanh'],
  hasCell: true,
  step({ e, ctx, projected: [xi, xo, xf, xn], state: [h, c], recurrent: [ri, ro, rf, rn], peepholes, activate }) {
    const [pi, po, pf] = peepholes ?? [];
    const gate = (x: typeof h, r: typeof h, peephole: typeof h | undefined, cell: typeof h) => {
      const sum = e.add(x, e.matMul(h, r));
      return activate(0, peephole === undefined ? sum : e.add(sum, e.mul(peephole, cell)));
    };
    const i = gate(xi, ri, pi, c);
    const coupled = ctx.node.attributes.int('input_forget', 0) !== 0;
    const forget = coupled ? e.sub(e.scalar(1, i), i) : gate(xf, rf, pf, c);
    const n = activate(1, e.add(xn, e.matMul(h, rn)));
    const next = e.add(e.mul(forget, c), e.mul(i, n));
    return [e.mul(gate(xo, ro, po, next), activate(2, next)), next];
  },
});
