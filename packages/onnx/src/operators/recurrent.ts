import { recurrent } from '../entry/recurrent/recurrent.js';

/** h′ = f(x Wᵀ + h Rᵀ + b). */
export const RNN = recurrent({
  op: 'RNN',
  groups: [1],
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
  groups: [2, 1],
  activations: ['Sigmoid', 'Tanh'],
  hasCell: false,
  separateBias: ({ node }) => (node.attributes.int('linear_before_reset', 0) === 0 ? [] : [2]),
  step({ e, ctx, projected: [gates, xn], state: [h], recurrent: [rGates, rn], recurrentBias, activate, apart }) {
    const [z, r] = apart(activate(0, e.add(gates, e.matMul(h, rGates))), [1, 1]);
    const late = ctx.node.attributes.int('linear_before_reset', 0) !== 0;
    const linear = () => {
      const product = e.matMul(h, rn);
      return recurrentBias === undefined ? product : e.add(product, recurrentBias[2]);
    };
    const n = activate(1, e.add(xn, late ? e.mul(r, linear()) : e.matMul(e.mul(r, h), rn)));
    return [e.add(e.mul(e.sub(e.scalar(1, z), z), n), e.mul(z, h))];
  },
});

/**
 * i = f(xi + h Ri + pi ⊙ c), o = f(xo + h Ro + po ⊙ c′), forget = f(xf + h Rf + pf ⊙ c) (or 1 − i with `input_forget`),
 * n = g(xn + h Rn); c′ = forget ⊙ c + i ⊙ n, h′ = o ⊙ k(c′). (W and the biases are in the x.)
 */
export const LSTM = recurrent({
  op: 'LSTM',
  groups: [4],
  activations: ['Sigmoid', 'Tanh', 'Tanh'],
  hasCell: true,
  step({ e, ctx, projected: [x], state: [h, c], recurrent: [r], peepholes, activate, apart }) {
    const sums = e.add(x, e.matMul(h, r));
    const coupled = ctx.node.attributes.int('input_forget', 0) !== 0;
    if (peepholes === undefined && !coupled) {
      const [gates, xn] = apart(sums, [3, 1]);
      const [i, o, forget] = apart(activate(0, gates), [1, 1, 1]);
      const next = e.add(e.mul(forget, c), e.mul(i, activate(1, xn)));
      return [e.mul(o, activate(2, next)), next];
    }
    const [xi, xo, xf, xn] = apart(sums, [1, 1, 1, 1]);
    const [pi, po, pf] = peepholes ?? [];
    const gate = (sum: typeof h, peephole: typeof h | undefined, cell: typeof h) =>
      activate(0, peephole === undefined ? sum : e.add(sum, e.mul(peephole, cell)));
    const i = gate(xi, pi, c);
    const forget = coupled ? e.sub(e.scalar(1, i), i) : gate(xf, pf, c);
    const next = e.add(e.mul(forget, c), e.mul(i, activate(1, xn)));
    return [e.mul(gate(xo, po, next), activate(2, next)), next];
  },
});
