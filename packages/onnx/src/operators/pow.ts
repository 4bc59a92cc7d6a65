import type { Value } from '../graph/value.js';
import { binary, type BinaryGradient } from './elementwise/binary.js';

/** ∂y/∂a = b aᵇ⁻¹. */
function base({ e, a, b, dy, ctx }: BinaryGradient): Value {
  const constant = ctx.constant(1);
  if (constant?.size === 1 && constant.dims.length === 0 && (b.dtype === 'float32' || b.dtype === 'float64')) {
    const [exponent] = constant.toNumbers();
    if (exponent === 1) return dy;
    if (exponent === 2) return e.mul(e.scale(dy, 2), a);
    if (exponent !== 0) return e.mul(e.scale(dy, exponent), e.pow(a, e.scalar(exponent - 1, b)));
  }
  // The exponent may be of another dtype than the base.
  const exponent = e.cast(b, a.dtype ?? 'float32');
  const zero = e.scalar(0, exponent);
  const slope = e.mul(exponent, e.pow(a, e.sub(exponent, e.scalar(1, exponent))));
  // b = 0 makes y constant, at a = 0 as well, where the formula says 0 · ∞.
  return e.mul(dy, e.where(e.equal(exponent, zero), zero, slope));
}

/** ∂y/∂b = y ln a, taken as 0 at a = 0. */
function exponent({ e, a, y, dy }: BinaryGradient): Value {
  const logarithm = e.log(e.where(e.equal(a, e.scalar(0, a)), e.scalar(1, a), a));
  return e.mul(dy, e.mul(y, logarithm));
}

/** y = aᵇ. */
export const Pow = binary(
  'Pow',
  15,
  { a: base, b: (g) => g.e.cast(exponent(g), g.b.dtype ?? 'float32') },
  undefined,
  'any',
);
