import { binary, type BinaryGradient } from '../entry/elementwise/binary.js';
import { toAttaining, variadic } from '../entry/elementwise/variadic.js';
import { broadcasting } from '../entry/older-form.js';
import { ADDED, BOUND, DATA, DIVISOR, MINUEND, role, SCALES, SUBTRACTED } from '../entry/role.js';
import type { Value } from '../graph/value.js';
import {
  addDims,
  type Dim,
  floorDivideDims,
  isAtLeast,
  isStatic,
  lowerBound,
  maxDims,
  minDims,
  multiplyDims,
  productOfDims,
  subtractDims,
} from '../shape/dim.js';

/** y = a + b. */
export const Add = binary(
  'Add',
  14,
  { a: ({ dy }) => dy, b: ({ dy }) => dy },
  { contents: addDims, roles: [ADDED], early: [broadcasting] },
);

/** y = a − b. */
export const Sub = binary(
  'Sub',
  14,
  { a: ({ dy }) => dy, b: ({ e, dy }) => e.neg(dy) },
  { contents: subtractDims, roles: [MINUEND, SUBTRACTED], early: [broadcasting] },
);

/** y = a b; ∂y/∂a = b, ∂y/∂b = a. */
export const Mul = binary(
  'Mul',
  14,
  { a: ({ e, b, dy }) => e.mul(dy, b), b: ({ e, a, dy }) => e.mul(dy, a) },
  { contents: multiplyDims, roles: [SCALES], early: [broadcasting] },
);

/** Integer division truncates towards zero, which is the floor where both sides are known not to be negative. */
function divide(a: Dim, b: Dim): Dim | undefined {
  if (isStatic(a) && isStatic(b)) return b === 0 ? undefined : Math.trunc(a / b);
  return lowerBound(a) >= 0 && lowerBound(b) >= 1 ? floorDivideDims(a, b) : undefined;
}

/** y = a / b; ∂y/∂a = 1 / b, ∂y/∂b = −y / b. */
export const Div = binary(
  'Div',
  14,
  { a: ({ e, b, dy }) => e.div(dy, b), b: ({ e, b, y, dy }) => e.neg(e.mul(dy, e.div(y, b))) },
  { contents: divide, roles: [DATA, DIVISOR], early: [broadcasting] },
);

/**
 * The rest of a division: of the sign of b for integers, of the sign of a (C's fmod) for floats.
 * With a = b trunc(a / b) + y, ∂y/∂a = 1 and ∂y/∂b = −trunc(a / b) = −(a − y) / b.
 */
export const Mod = binary(
  'Mod',
  13,
  { a: ({ dy }) => dy, b: ({ e, a, b, y, dy }) => e.neg(e.mul(dy, e.div(e.sub(a, y), b))) },
  {
    contents: (a, b) =>
      isAtLeast(a, 0) && isAtLeast(b, 1) ? subtractDims(a, multiplyDims(b, floorDivideDims(a, b))) : undefined,
    roles: [DATA, BOUND],
  },
);

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

/** Negative exponents leave the integers. */
function integerPower(a: Dim, b: Dim): Dim | undefined {
  if (!isStatic(b) || b < 0 || b > LARGEST_EXPONENT) return undefined;
  return productOfDims(new Array<Dim>(b).fill(a));
}

/** 2^62 is the largest power that an int64 holds. */
const LARGEST_EXPONENT = 62;

/** y = aᵇ. */
export const Pow = binary(
  'Pow',
  15,
  { a: base, b: (g) => g.e.cast(exponent(g), g.b.dtype ?? 'float32') },
  { contents: integerPower, dtypes: 'any', roles: [DATA, role('aside', 'an exponent')], early: [broadcasting] },
);

/** y = x₁ + … + xₙ. */
export const Sum = variadic('Sum', 13, ({ dy }) => dy, { contents: addDims, roles: [ADDED] });

/** y = (x₁ + … + xₙ) / n. */
export const Mean = variadic('Mean', 13, ({ e, inputs, dy }) => e.scale(dy, 1 / inputs.length), { roles: [ADDED] });

/** y = max(x₁, …, xₙ); where several inputs attain it they share the cotangent, as in PyTorch. */
export const Max = variadic('Max', 13, toAttaining, { contents: maxDims, roles: [BOUND] });

/** y = min(x₁, …, xₙ); where several inputs attain it they share the cotangent, as in PyTorch. */
export const Min = variadic('Min', 13, toAttaining, { contents: minDims, roles: [BOUND] });
