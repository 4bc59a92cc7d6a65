import { recurrent } from './recurrent.js';

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
