import { defineWrapper, withOptions } from './define-phased.js';
import { count, decayRate, epsilon, flag, nonNegative, positive } from '../optimizer/hyperparameters.js';
import type { ParameterRole } from '../optimizer/match.js';
import type { Optimizer } from '../optimizer/optimizer.js';
import { checkOneForAll } from '../plan/one-for-all.js';
import { collecting } from '../run/collecting.js';
import { biasCorrection } from '../pieces/bias-correction.js';
import { perturbing } from '../run/perturbing.js';
import * as meanings from '../component/meanings.js';
import {
  asMatrix,
  asParam,
  broadcast,
  largest,
  mean,
  norm,
  random,
  scalar,
  sum,
  where,
} from '../expression/expression.js';

const valueClip = /* @__PURE__ */ defineWrapper({
  name: 'clipByValue',
  hyperparameters: { limit: positive(1) },
  gradient: ({ grad, hyper: { limit } }) => ({ grad: grad.clip(limit.neg(), limit) }),
});

/** Limits every element of the gradient to [−limit, limit] (torch.nn.utils.clip_grad_value_). */
export const clipByValue = (limit: number, inner: Optimizer): Optimizer => valueClip({ limit }, inner);

const normClip = /* @__PURE__ */ defineWrapper({
  name: 'clipByNorm',
  hyperparameters: { maxNorm: positive(1) },
  gradient({ grad, hyper: { maxNorm } }) {
    return { grad: grad.mul(maxNorm.div(norm(grad).add(1e-6)).min(1)) };
  },
});

/** Limits the norm of every parameter's gradient: g ← g · min(1, maxNorm / (‖g‖ + 1e-6)). */
export const clipByNorm = (maxNorm: number, inner: Optimizer): Optimizer => normClip({ maxNorm }, inner);

const rmsClip = /* @__PURE__ */ defineWrapper({
  name: 'clipByRms',
  hyperparameters: { limit: positive(1) },
  gradient: ({ grad, hyper: { limit } }) => ({ grad: grad.div(mean(grad.square()).sqrt().div(limit).max(1)) }),
});

/** Limits the root mean square of every parameter's gradient: g ← g / max(1, RMS(g) / limit) (optax.clip_by_block_rms). */
export const clipByRms = (limit: number, inner: Optimizer): Optimizer => rmsClip({ limit }, inner);

const globalNormClip = /* @__PURE__ */ defineWrapper({
  name: 'clipByGlobalNorm',
  hyperparameters: { maxNorm: positive(1), infinity: flag(false) },
  globals: () => ['norm'],
  measure: ({ grad, uses }) =>
    uses.infinity ? { largest: { norm: largest(grad.abs()) } } : { sums: { squares: sum(grad.square()) } },
  total: ({ sums, largest: most, uses }) => ({ norm: uses.infinity ? most.norm : sums.squares.sqrt() }),
  gradient: ({ grad, globals, hyper: { maxNorm } }) => ({
    grad: grad.mul(maxNorm.div(globals.norm.add(1e-6)).min(1)),
  }),
});

/**
 * Limits the norm of all gradients together: g ← g · min(1, maxNorm / (norm + 1e-6)), as torch.nn.utils.clip_grad_norm_.
 * The norm before clipping is reported as `clipByGlobalNorm.norm`.
 *
 * @param options `infinity`: the largest absolute element instead of the Euclidean norm
 */
export const clipByGlobalNorm = (
  maxNorm: number,
  inner: Optimizer,
  options: { readonly infinity?: boolean } = {},
): Optimizer => globalNormClip(withOptions({ maxNorm }, options), inner);

const normalized = /* @__PURE__ */ defineWrapper({
  name: 'normalize',
  hyperparameters: { scale: positive(1), eps: epsilon(1e-6) },
  globals: () => ['norm'],
  measure: ({ grad }) => ({ sums: { squares: sum(grad.square()) } }),
  total: ({ sums }) => ({ norm: sums.squares.sqrt() }),
  gradient: ({ grad, globals, hyper: { scale, eps } }) => ({ grad: grad.mul(scale.div(globals.norm.add(eps))) }),
});

/**
 * Gives all gradients together the norm `scale` (1), g ← g · scale / (norm + eps), so that their direction alone counts
 * (optax.normalize_by_update_norm). The norm before is reported as `normalize.norm`.
 */
export const normalizeByGlobalNorm = (
  inner: Optimizer,
  options: { readonly scale?: number; readonly eps?: number } = {},
): Optimizer => normalized(options, inner);

const ascent = /* @__PURE__ */ defineWrapper({
  name: 'maximize',
  hyperparameters: {},
  gradient: ({ grad }) => ({ grad: grad.neg() }),
});

/**
 * Makes the loss as large as possible instead of as small (`maximize` of torch.optim): g ← −g. Weight decay stays one. Steps with
 * `sam` are refused: it looks for where the loss is larger.
 */
export const maximize = (inner: Optimizer): Optimizer => ascent({}, inner);

const adaptiveClip = /* @__PURE__ */ defineWrapper({
  name: 'adaptiveClip',
  hyperparameters: { clipping: positive(0.01), eps: positive(1e-3) },
  gradient({ grad, param, matrix, units, hyper: { clipping, eps } }) {
    const over = units === 'rows' ? 'cols' : 'rows';
    const unitNorm = (x: typeof grad) => (matrix ? norm(asMatrix(x), over) : norm(x));
    const most = unitNorm(param).max(eps).mul(clipping);
    const length = unitNorm(grad).max(1e-6);
    const g = matrix ? asMatrix(grad) : grad;
    const clipped = where(length.greater(most), g.mul(most.div(length)), g);
    return { grad: matrix ? asParam(clipped) : clipped };
  },
});

/**
 * Adaptive gradient clipping (Brock et al. 2021, eq. 3): the gradient of every output unit may be at most `clipping` times
 * as long as the unit's weights, which count as at least `eps` long.
 */
export const adaptiveClipping = (
  inner: Optimizer,
  options: { readonly clipping?: number; readonly eps?: number } = {},
): Optimizer => adaptiveClip(options, inner);

const centralize = /* @__PURE__ */ defineWrapper({
  name: 'centralize',
  hyperparameters: {},
  gradient({ grad, matrix, units }) {
    if (!matrix) return { grad };
    const g = asMatrix(grad);
    return { grad: asParam(g.sub(mean(g, units === 'rows' ? 'cols' : 'rows'))) };
  },
});

/** Gradient centralization (Yong et al. 2020, eq. 1): matrices lose the mean of every output unit's gradient. */
export const centralization = (inner: Optimizer): Optimizer => centralize({}, inner);

const noise = /* @__PURE__ */ defineWrapper({
  name: 'gradientNoise',
  hyperparameters: { eta: nonNegative(0.01), gamma: nonNegative(0.55), seed: count(0, 0) },
  gradient({ grad, hyper: { eta, gamma, seed }, step, key }) {
    const deviation = eta.div(step.pow(gamma)).sqrt();
    return { grad: grad.add(random('normal', { seed, key, step }).mul(deviation)) };
  },
});

/**
 * Adds normal noise of variance η / tᵞ to gradients (Neelakantan et al. 2015, eq. 1). The draws are a function of the
 * seed, the parameter's name and the step, the same on every backend and after every resume.
 */
export const gradientNoise = (
  inner: Optimizer,
  options: { readonly eta?: number; readonly gamma?: number; readonly seed?: number } = {},
): Optimizer => noise(options, inner);

const averaging = /* @__PURE__ */ defineWrapper({
  name: 'averageGradients',
  hyperparameters: { decay: decayRate(0.9), debias: flag(false) },
  slots: ({ debias }) => [
    { name: 'average', meaning: { of: meanings.meanOfGradient, decay: 'decay', joinsLate: !debias } },
  ],
  gradient({ grad, slots, uses, step, hyper: { decay } }) {
    const average = slots.average.mul(decay).add(grad.mul(decay.neg().add(1)));
    return { grad: uses.debias ? average.div(biasCorrection(decay, step)) : average, slots: { average } };
  },
});

/**
 * The inner optimizer sees a moving average of the gradients.
 *
 * @param options `debias`: divided by 1 − decayᵗ, as it starts at zero (optax.ema)
 */
export const gradientAveraging = (
  decay: number,
  inner: Optimizer,
  options: { readonly debias?: boolean } = {},
): Optimizer => averaging(withOptions({ decay }, options), inner);

const accumulation = /* @__PURE__ */ defineWrapper({
  name: 'accumulate',
  hyperparameters: { every: count(1) },
  slots: () => [{ name: 'gradientSum', meaning: { of: meanings.collectedGradients, joinsLate: true } }],
  collecting,
  collect: ({ grad, slots, samples }) => ({ slots: { gradientSum: slots.gradientSum.add(grad.mul(samples)) } }),
  gradient: ({ slots, allSamples }) => ({
    grad: slots.gradientSum.div(allSamples),
    slots: { gradientSum: broadcast(scalar(0), 'param') },
  }),
});

/**
 * One step for every `every` batches, with the mean of their gradients weighted by their numbers of samples: equal to a
 * step with one large batch.
 */
export const accumulate = (every: number, inner: Optimizer): Optimizer => accumulation({ every }, inner);

const scaling = /* @__PURE__ */ defineWrapper({
  name: 'lossScaling',
  hyperparameters: {
    initialScale: positive(2 ** 16),
    growth: positive(2),
    backoff: positive(0.5),
    interval: count(2000),
  },
  lossScaling: {
    check: (groups) => {
      checkOneForAll(groups, 'lossScaling', {
        twice: 'the loss is scaled in two places; put one lossScaling() around everything',
        inside: 'lossScaling() is inside a group, but the loss is one for all parameters; put it around groups()',
      });
    },
    start: ({ initialScale }) => ({ scale: Number(initialScale), good: 0 }),
    taken: ({ scale, good }, { growth, interval }) =>
      good + 1 < Number(interval) ? { scale, good: good + 1 } : { scale: scale * Number(growth), good: 0 },
    skipped: ({ scale }, { backoff }) => ({ scale: scale * Number(backoff), good: 0 }),
  },
  gradient: ({ grad, lossScale }) => ({ grad: grad.div(lossScale) }),
});

/**
 * Dynamic loss scaling for gradients in float16 (Micikevicius et al. 2018, §3.2; torch.amp.GradScaler): the loss is
 * multiplied before it is differentiated, the gradient divided after. A step with gradients that are not finite is
 * skipped and the scale multiplied by `backoff`; after `interval` good steps it grows by `growth`.
 */
export const lossScaling = (
  inner: Optimizer,
  options: {
    readonly initialScale?: number;
    readonly growth?: number;
    readonly backoff?: number;
    readonly interval?: number;
  } = {},
): Optimizer => scaling(options, inner);

const sharpnessAware = /* @__PURE__ */ defineWrapper({
  name: 'sam',
  hyperparameters: { rho: positive(0.05), eta: epsilon(0), eps: epsilon(1e-12), adaptive: flag(false) },
  globals: () => ['norm'],
  measure({ grad, param, uses, role, hyper: { eta } }) {
    const scaled = uses.adaptive && adapts(role) ? grad.mul(param.abs().add(eta)) : grad;
    return { sums: { squares: sum(scaled.square()) } };
  },
  total: ({ sums }) => ({ norm: sums.squares.sqrt() }),
  perturbing,
  perturb({ param, grad, globals, uses, role, hyper: { rho, eta, eps } }) {
    const scale = rho.div(globals.norm.add(eps));
    const direction = uses.adaptive && adapts(role) ? grad.mul(param.abs().add(eta).square()) : grad;
    return { param: param.add(direction.mul(scale)) };
  },
});

/** As in the authors' code, biases and scales of normalizations keep the plain ball. */
const adapts = (role: ParameterRole | undefined): boolean => role !== 'bias' && role !== 'norm';

/**
 * Sharpness-aware minimization (Foret et al. 2021, eq. 2): the gradient is taken at θ + ρ·g/‖g‖, the norm over all
 * parameters, and applied at θ. With `adaptive`, ASAM (Kwon et al. 2021, eq. 8) with T = |θ| + η for weights. Every step
 * evaluates the batch twice. The norm is reported as `sam.norm`.
 */
export const sam = (
  rho: number,
  inner: Optimizer,
  options: { readonly adaptive?: boolean; readonly eta?: number; readonly eps?: number } = {},
): Optimizer => sharpnessAware(withOptions({ rho }, options), inner);
