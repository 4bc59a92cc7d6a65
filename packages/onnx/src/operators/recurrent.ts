import { recurrent } from '../entry/recurrent/recurrent.js';
import type { Emitter } from '../graph/emitter.js';
import type { Value } from '../graph/value.js';

/** h′ = f(x Wᵀ + h Rᵀ + b). */
export const RNN = recurrent({
  op: 'RNN',
  groups: [1],
  activations: ['Tanh'],
  hasCell: false,
  step({ e, projected: [x], state: [h], recurrent: [r], activate }) {
    return [activate(0, e.add(x, e.matMul(h, r)))];
  },
  /** Of h: dh = dy + dz′ R with dz′ of the step after it, and dz = dh ⊙ f′. */
  backward(way) {
    const { e, projected, before, recurrent, arriving, last, activate, cotangent, stepsOf, rowsOf } = way;
    const sums = e.node('Gemm', [before, recurrent, projected], { transB: 1 });
    const h = activate(0, sums);
    const slopes = stepsOf(cotangent(sums, [[h, e.expandLike(e.scalar(1, h), h)]]));
    const dz: Value[] = [];
    for (let t = slopes.length - 1; t >= 0; t--) {
      const dh =
        t === slopes.length - 1 ? sum(e, arriving?.[t], last[0]) : product(e, dz[t + 1], recurrent, arriving?.[t]);
      dz[t] = dh === undefined ? e.zerosLike(slopes[t]) : e.mul(dh, slopes[t]);
    }
    const rows = rowsOf(dz);
    return {
      projected: rows,
      recurrent: () => e.gemm(rows, before, { transA: true }),
      initial: [() => product(e, dz[0], recurrent)],
    };
  },
});

/** a B, and c. */
function product(e: Emitter, a: Value, b: Value, c?: Value): Value {
  return e.node('Gemm', c === undefined ? [a, b] : [a, b, c]);
}

function sum(e: Emitter, a: Value | undefined, b: Value | undefined): Value | undefined {
  return a === undefined ? b : b === undefined ? a : e.add(a, b);
}

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
  /**
   * With a the slope of h′ by the sum of n, (1 − z) g′: that by the sum of z is (h − n) f′, and that by the sum of r is
   * a (h Rn + bn) f′ or, where r comes first, what (a ⊙ dh) Rn gives times h f′.
   */
  backward(way) {
    const { e, ctx, projected, before, recurrent, recurrentBias, activate, cotangent, apart, stepsOf, rowsOf } = way;
    const { arriving, last } = way;
    const late = ctx.node.attributes.int('linear_before_reset', 0) !== 0;
    const [rGates, rn] = e.nodes('Split', [recurrent, e.int64([2 * way.hidden, way.hidden])], { axis: 0 }, 2);
    const [gates, xn] = apart(projected, [2, 1]);
    const sums = e.node('Gemm', [before, rGates, gates], { transB: 1 });
    const [z, r] = apart(activate(0, sums), [1, 1]);
    const reset = e.mul(r, before);
    const bias = recurrentBias && e.nodes('Split', [recurrentBias], { num_outputs: 3 }, 3)[2];
    const linear = late
      ? e.node('Gemm', bias === undefined ? [before, rn] : [before, rn, bias], { transB: 1 })
      : before;
    const inner = late ? e.add(xn, e.mul(r, linear)) : e.node('Gemm', [reset, rn, xn], { transB: 1 });
    const n = activate(1, inner);
    const a = cotangent(inner, [[n, e.sub(e.scalar(1, z), z)]]);
    const slopes = cotangent(sums, [
      [z, e.sub(before, n)],
      [r, late ? e.mul(a, linear) : before],
    ]);
    const [keeping, passing] = [stepsOf(z), stepsOf(late ? e.concat([slopes, e.mul(a, r)], 1) : slopes)];
    const [resetting, turning] = late ? [[], []] : [stepsOf(r), stepsOf(a)];
    const dh: Value[] = [];
    const dGates: Value[] = [];
    const dInner: Value[] = [];
    let carried = last[0];
    for (let t = keeping.length - 1; t >= 0; t--) {
      dh[t] = sum(e, arriving?.[t], carried) ?? e.zerosLike(keeping[t]);
      const kept = e.mul(dh[t], keeping[t]);
      if (late) {
        dGates[t] = e.mul(e.concat([dh[t], dh[t], dh[t]], 1), passing[t]);
        carried = product(e, dGates[t], recurrent, kept);
        continue;
      }
      dInner[t] = e.mul(dh[t], turning[t]);
      const dReset = product(e, dInner[t], rn);
      dGates[t] = e.mul(e.concat([dh[t], dReset], 1), passing[t]);
      carried = product(e, dGates[t], rGates, e.add(kept, e.mul(dReset, resetting[t])));
    }
    const initial = [() => carried ?? e.zerosLike(way.initial[0])];
    const rows = rowsOf(dGates);
    if (late) {
      const own = e.concat([apart(rows, [2, 1])[0], e.mul(rowsOf(dh), a)], 1);
      return { projected: own, recurrent: () => e.gemm(rows, before, { transA: true }), recurrentBias: rows, initial };
    }
    const ofInner = rowsOf(dInner);
    return {
      projected: e.concat([rows, ofInner], 1),
      recurrent: () => e.concat([e.gemm(rows, before, { transA: true }), e.gemm(ofInner, reset, { transA: true })], 0),
      initial,
    };
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
  /**
   * With the sums z of the gates and f the slopes: dh = dy + dz′ R, dc = dc′ ⊙ forget′ + dh ⊙ o k′(c) (with those of the step
   * after it), and dz = [dc n f′, dh k(c) f′, dc c₋ f′, dc i g′] with the cell state c₋ before the step.
   */
  backward(way) {
    const { e, ctx, projected, before, recurrent, arriving, last, activate, cotangent, apart, stepsOf, rowsOf } = way;
    const coupled = ctx.node.attributes.int('input_forget', 0) !== 0;
    const sums = e.node('Gemm', [before, recurrent, projected], { transB: 1 });
    const [gates, xn] = apart(sums, [3, 1]);
    const [i, o, free] = apart(activate(0, gates), [1, 1, 1]);
    const forget = coupled ? e.sub(e.scalar(1, i), i) : free;
    const n = activate(1, xn);
    // The cell states are not among the results of the node.
    const keeping = stepsOf(forget);
    const [cellBefore, cell] = way.linear(forget, e.mul(i, n), way.initial[1]);
    const squashed = activate(2, cell);
    const ofCell = stepsOf(cotangent(cell, [[squashed, o]]));
    const slopes = stepsOf(
      cotangent(sums, [
        ...(coupled ? [[i, e.sub(n, cellBefore)] as const] : [[i, n] as const, [free, cellBefore] as const]),
        [o, squashed],
        [n, i],
      ]),
    );
    const dz: Value[] = [];
    let carried = last[1];
    for (let t = slopes.length - 1; t >= 0; t--) {
      const dh =
        (t === slopes.length - 1 ? sum(e, arriving?.[t], last[0]) : product(e, dz[t + 1], recurrent, arriving?.[t])) ??
        e.zerosLike(ofCell[t]);
      const own = e.mul(dh, ofCell[t]);
      const dc = carried === undefined ? own : e.add(own, carried);
      dz[t] = e.mul(e.concat([dc, dh, dc, dc], 1), slopes[t]);
      carried = e.mul(dc, keeping[t]);
    }
    const rows = rowsOf(dz);
    return {
      projected: rows,
      recurrent: () => e.gemm(rows, before, { transA: true }),
      initial: [() => product(e, dz[0], recurrent), () => carried ?? e.zerosLike(way.initial[1])],
    };
  },
});
