import { composite, likeInput } from '../entry/composite.js';
import { unary } from '../entry/elementwise/unary.js';
import { erfGelu, tanhGelu } from '../entry/gelu.js';
import { defaulting } from '../entry/older-form.js';
import type { Operator, UpgradeContext } from '../entry/operator.js';
import { DATA, role } from '../entry/role.js';

/** y = max(x, 0), y′ = 1 where x > 0 and 0 elsewhere (0 at the kink, as PyTorch has it). */
export const Relu = unary('Relu', 14, ({ e, y, dy }) => e.mask(e.greater(y, e.scalar(0, y)), dy), {
  followsHead: true,
});

/** y = x where x > 0, αx elsewhere; y′ = 1 or α (α at the kink, as PyTorch has it). */
export const LeakyRelu = unary('LeakyRelu', 16, ({ e, x, dy, ctx }) => {
  const alpha = ctx.node.attributes.float('alpha', 0.01);
  return e.where(e.greater(x, e.scalar(0, x)), dy, e.scale(dy, alpha));
});

/** y = x where x > 0, slope · x elsewhere, the slope broadcast to x; ∂y/∂slope = x where x is not above 0. */
export const PRelu: Operator = {
  op: 'PRelu',
  since: 16,
  roles: [DATA, role('weight', 'slopes')],
  early: [{ before: 7, upgrade: slopePerChannel }],
  infer(ctx) {
    ctx.broadcast(ctx.shape(0), ctx.shape(1));
    return likeInput(ctx);
  },
  gradient(ctx) {
    const { e } = ctx;
    const [x, slope, dy] = [ctx.input(0), ctx.input(1), ctx.grad()];
    const zero = e.scalar(0, x);
    const isPositive = e.greater(x, zero);
    return [
      ctx.needs(0) ? e.where(isPositive, dy, e.mul(dy, slope)) : undefined,
      ctx.needs(1) ? ctx.unbroadcast(e.where(isPositive, zero, e.mul(dy, x)), 1) : undefined,
    ];
  },
};

/** y = x where x > α, 0 elsewhere; y′ = 1 or 0. */
export const ThresholdedRelu = unary('ThresholdedRelu', 10, ({ e, x, dy, ctx }) =>
  e.mask(e.greater(x, e.scalar(ctx.node.attributes.float('alpha', 1), x)), dy),
);

/** y = x where x > 0, α (eˣ − 1) elsewhere; y′ = 1 or α eˣ. */
export const Elu = unary('Elu', 6, ({ e, x, dy, ctx }) => {
  const alpha = ctx.node.attributes.float('alpha', 1);
  return e.where(e.greater(x, e.scalar(0, x)), dy, e.mul(e.scale(dy, alpha), e.exp(x)));
});

/** y = x where x > 0, α (e^(x/α) − 1) elsewhere; y′ = 1 or e^(x/α). */
export const Celu = unary('Celu', 12, ({ e, x, dy, ctx }) => {
  const alpha = ctx.node.attributes.float('alpha', 1);
  return e.where(e.greater(x, e.scalar(0, x)), dy, e.mul(dy, e.exp(e.scale(x, 1 / alpha))));
});

/** y = γx where x > 0, γα (eˣ − 1) elsewhere; y′ = γ or γα eˣ. */
export const Selu = unary(
  'Selu',
  6,
  ({ e, x, dy, ctx }) => {
    const alpha = ctx.node.attributes.float('alpha', 1.67326319217681884765625);
    const scaled = e.scale(dy, ctx.node.attributes.float('gamma', 1.05070102214813232421875));
    return e.where(e.greater(x, e.scalar(0, x)), scaled, e.mul(e.scale(scaled, alpha), e.exp(x)));
  },
  { early: [defaulting(6, { alpha: { float: 1.6732 }, gamma: { float: 1.0507 } })] },
);

/** y = 1 / (1 + e⁻ˣ), y′ = y (1 − y). */
export const Sigmoid = unary('Sigmoid', 13, ({ e, y, dy }) => e.mul(dy, e.mul(y, e.sub(e.scalar(1, y), y))), {
  followsHead: true,
});

/** y = min(max(αx + β, 0), 1), y′ = α strictly between and 0 elsewhere. */
export const HardSigmoid = unary('HardSigmoid', 6, ({ e, y, dy, ctx }) => {
  const inside = e.and(e.greater(y, e.scalar(0, y)), e.less(y, e.scalar(1, y)));
  return e.mask(inside, e.scale(dy, ctx.node.attributes.float('alpha', 0.2)));
});

/** y = tanh x, y′ = 1 − y². */
export const Tanh = unary('Tanh', 13, ({ e, y, dy }) => e.mul(dy, e.sub(e.scalar(1, y), e.square(y))), {
  followsHead: true,
});

/** y = ln(1 + eˣ), y′ = 1 / (1 + e⁻ˣ). */
export const Softplus = unary('Softplus', 1, ({ e, x, dy }) => e.mul(dy, e.node('Sigmoid', [x])));

/** y = x / (1 + |x|), y′ = 1 / (1 + |x|)². */
export const Softsign = unary('Softsign', 1, ({ e, x, dy }) =>
  e.div(dy, e.square(e.add(e.node('Abs', [x]), e.scalar(1, x)))),
);

/** y = x + bias where x < −λ, x − bias where x > λ, 0 between; y′ = 1 outside, 0 between. */
export const Shrink = unary('Shrink', 9, ({ e, x, dy, ctx }) =>
  e.mask(e.greater(e.node('Abs', [x]), e.scalar(ctx.node.attributes.float('lambd', 0.5), x)), dy),
);

/** y = x · min(max(x / 6 + 1/2, 0), 1); y′ = 0 up to −3, x / 3 + 1/2 between, 1 from 3 on (as PyTorch 2.15 has it). */
export const HardSwish = unary('HardSwish', 14, ({ e, x, dy }) => {
  const three = e.scalar(3, x);
  const slope = e.add(e.scale(x, 1 / 3), e.scalar(0.5, x));
  const rising = e.where(e.less(x, three), e.mul(dy, slope), dy);
  return e.where(e.greater(x, e.neg(three)), rising, e.scalar(0, dy));
});

/** y = x / (1 + e^(−αx)). */
export const Swish = composite({
  op: 'Swish',
  since: 24,
  infer: likeInput,
  define({ e, node, input }) {
    const gate = e.node('Sigmoid', [e.scale(input(0), node.attributes.float('alpha', 1))]);
    return [e.mul(input(0), gate)];
  },
});

/** y = x tanh(ln(1 + eˣ)). */
export const Mish = composite({
  op: 'Mish',
  since: 18,
  infer: likeInput,
  define: ({ e, input }) => [e.mul(input(0), e.node('Tanh', [e.node('Softplus', [input(0)])]))],
});

/** y = x Φ(x) = x/2 (1 + erf(x/√2)); with `approximate` = 'tanh' that of {@link tanhGelu}. */
export const Gelu = composite({
  op: 'Gelu',
  since: 20,
  infer: likeInput,
  define({ e, node, input }) {
    return [node.attributes.string('approximate', 'none') === 'tanh' ? tanhGelu(e, input(0)) : erfGelu(e, input(0))];
  },
});

/** One slope for every channel, which is axis 1. */
function slopePerChannel({ node, e }: UpgradeContext): void {
  const [x, slope] = [node.inputs[0], node.inputs[1]];
  const rank = x?.shape?.length ?? 0;
  if (slope?.shape?.length !== 1 || slope.shape[0] === 1 || rank <= 2) return;
  node.inputs[1] = e.unsqueeze(
    slope,
    Array.from({ length: rank - 2 }, (_, i) => 1 + i),
  );
}
