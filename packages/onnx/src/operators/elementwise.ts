import { likeInput } from '../entry/composite.js';
import { unary } from '../entry/elementwise/unary.js';
import { floatToInput } from '../entry/older-form.js';
import type { Operator } from '../entry/operator.js';
import { ANGLE, DATA, role } from '../entry/role.js';
import { isSequence } from '../entry/sequence.js';
import type { Value } from '../graph/value.js';
import { negateDim } from '../shape/dim.js';

const VARIANCE = role('aside', 'below a root or inverted, like a variance');

const identity = unary('Identity', 16, ({ dy }) => dy, { contents: (x) => x, moves: true, followsHead: true });

/** y = x, which may be a sequence: that is taken apart where it is used. */
export const Identity: Operator = {
  ...identity,
  infer: (ctx) => (isSequence(ctx.input(0)) ? [{}] : identity.infer(ctx)),
};

/** y = −x, y′ = −1. */
export const Neg = unary('Neg', 13, ({ e, dy }) => e.neg(dy), { contents: negateDim });

/** y = |x|, y′ = sign x (0 at the kink, as PyTorch has it). */
export const Abs = unary('Abs', 13, ({ e, x, dy }) => e.mul(dy, e.node('Sign', [x])));

/** y = sign x, constant wherever it has a derivative. */
export const Sign = unary('Sign', 13, 'zero');

/** y = 1 / x, y′ = −y². */
export const Reciprocal = unary('Reciprocal', 13, ({ e, y, dy }) => e.neg(e.mul(dy, e.square(y))), {
  roles: [VARIANCE],
});

/** y = √x, y′ = 1 / (2y). */
export const Sqrt = unary('Sqrt', 13, ({ e, y, dy }) => e.div(e.scale(dy, 0.5), y), { roles: [VARIANCE] });

/** y = eˣ, y′ = y. */
export const Exp = unary('Exp', 13, ({ e, y, dy }) => e.mul(dy, y));

/** y = ln x, y′ = 1 / x. */
export const Log = unary('Log', 13, ({ e, x, dy }) => e.div(dy, x));

/** y = erf x, y′ = 2/√π · e^(−x²). */
export const Erf = unary('Erf', 13, ({ e, x, dy }) =>
  e.mul(e.scale(dy, 2 / Math.sqrt(Math.PI)), e.exp(e.neg(e.square(x)))),
);

/**
 * y = min(max(x, low), high), a bound left out being infinite. The cotangent goes to x strictly between the bounds (as in
 * PyTorch's hardtanh, relu6 and, by 2.15, clamp), else to the bound that was taken; to `high` where the bounds are equal or
 * crossed.
 */
export const Clip: Operator = {
  op: 'Clip',
  since: 13,
  roles: [DATA, role('setting', 'a bound')],
  followsHead: true,
  infer: likeInput,
  gradient(ctx) {
    const { e } = ctx;
    const [x, dy] = [ctx.input(0), ctx.grad()];
    const zero = e.scalar(0, dy);
    const [low, high] = [1, 2].map((i) => (ctx.has(i) ? ctx.input(i) : undefined));
    const below = low && e.node('LessOrEqual', [x, low]);
    const above = high && e.greaterOrEqual(x, high);
    const outside = below && above ? e.node('Or', [below, above]) : (below ?? above);
    const takesHigh = above && low ? e.node('Or', [above, e.greater(low, high)]) : above;
    const to = (index: number, where: Value | undefined) =>
      where && ctx.needs(index) ? ctx.unbroadcast(e.where(where, dy, zero), index) : undefined;
    return [
      outside === undefined ? dy : e.where(outside, zero, dy),
      to(1, below && takesHigh ? e.and(below, e.not(takesHigh)) : below),
      to(2, takesHigh),
    ];
  },
  upgrade(ctx) {
    if (ctx.opset >= 11) return undefined;
    floatToInput(ctx, 'min', 1);
    floatToInput(ctx, 'max', 2);
    return undefined;
  },
};

/** Constant wherever it has a derivative. */
export const Ceil = unary('Ceil', 13, 'zero');

/** Constant wherever it has a derivative. */
export const Floor = unary('Floor', 13, 'zero');

/** Constant wherever it has a derivative. */
export const Round = unary('Round', 11, 'zero');

/** y = sin x, y′ = cos x. */
export const Sin = unary('Sin', 7, ({ e, x, dy }) => e.mul(dy, e.node('Cos', [x])), { roles: [ANGLE] });

/** y = cos x, y′ = −sin x. */
export const Cos = unary('Cos', 7, ({ e, x, dy }) => e.mul(e.neg(dy), e.node('Sin', [x])), { roles: [ANGLE] });

/** y = tan x, y′ = 1 + y². */
export const Tan = unary('Tan', 7, ({ e, y, dy }) => e.mul(dy, e.add(e.square(y), e.scalar(1, y))));

/** y = arcsin x, y′ = 1 / √(1 − x²). */
export const Asin = unary('Asin', 7, ({ e, x, dy }) => e.div(dy, e.sqrt(e.sub(e.scalar(1, x), e.square(x)))));

/** y = arccos x, y′ = −1 / √(1 − x²). */
export const Acos = unary('Acos', 7, ({ e, x, dy }) => e.neg(e.div(dy, e.sqrt(e.sub(e.scalar(1, x), e.square(x))))));

/** y = arctan x, y′ = 1 / (1 + x²). */
export const Atan = unary('Atan', 7, ({ e, x, dy }) => e.div(dy, e.add(e.square(x), e.scalar(1, x))));

/** y = sinh x, y′ = cosh x. */
export const Sinh = unary('Sinh', 9, ({ e, x, dy }) => e.mul(dy, e.node('Cosh', [x])));

/** y = cosh x, y′ = sinh x. */
export const Cosh = unary('Cosh', 9, ({ e, x, dy }) => e.mul(dy, e.node('Sinh', [x])));

/** y = arsinh x, y′ = 1 / √(x² + 1). */
export const Asinh = unary('Asinh', 9, ({ e, x, dy }) => e.div(dy, e.sqrt(e.add(e.square(x), e.scalar(1, x)))));

/** y = arcosh x, y′ = 1 / √(x² − 1). */
export const Acosh = unary('Acosh', 9, ({ e, x, dy }) => e.div(dy, e.sqrt(e.sub(e.square(x), e.scalar(1, x)))));

/** y = artanh x, y′ = 1 / (1 − x²). */
export const Atanh = unary('Atanh', 9, ({ e, x, dy }) => e.div(dy, e.sub(e.scalar(1, x), e.square(x))));
