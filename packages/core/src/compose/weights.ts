import * as meanings from '../component/meanings.js';
import {
  asMatrix,
  asParam,
  norm,
  oneMinus,
  rowIndex,
  where,
  type Scalar,
  type Tensor,
} from '../expression/expression.js';
import { defineWrapper } from './define-phased.js';
import { count, decayRate, flag, fraction, nonNegative, positive } from '../optimizer/hyperparameters.js';
import type { Optimizer } from '../optimizer/optimizer.js';
import { AdakitError } from '../errors.js';

const exponentialAverage = /* @__PURE__ */ defineWrapper({
  name: 'ema',
  hyperparameters: {
    decay: decayRate(0.999),
    start: count(0, 0),
    every: count(1),
    warmup: flag(false),
    debias: flag(false),
    overwriteEvery: { ...count(0, 0), offAtZero: true },
  },
  slots: () => [{ name: 'average', start: 'param', meaning: { of: meanings.averageOfWeights, joinsLate: true } }],
  after({ param, slots, step, uses, hyper: { decay, start, every, overwriteEvery } }) {
    const updates = step.sub(start).div(every).floor();
    const most = uses.warmup ? decay.min(updates.add(1).div(updates.add(10))) : decay;
    // What an average from zero is, once it is divided by the sum 1 − decayⁿ of its weights.
    const corrected = (n: Scalar): Scalar => most.mul(oneMinus(decay.pow(n.sub(1)))).div(oneMinus(decay.pow(n)));
    const rate = uses.debias ? corrected(updates.max(1)) : most;
    const next = slots.average.mul(rate).add(param.mul(oneMinus(rate)));
    const due = step.sub(start).mod(every).equal(0);
    const average = where(step.lessOrEqual(start), param, where(due, next, slots.average));
    if (!uses.overwriteEvery) return { slots: { average } };
    return { param: where(step.mod(overwriteEvery).equal(0), average, param), slots: { average } };
  },
  views: { averaged: ({ slots }) => slots.average },
});

/**
 * Keeps an exponential moving average of the weights, a ← decay·a + (1 − decay)·θ (Polyak & Juditsky 1992). The view
 * `averaged` is the average.
 *
 * @param options `start`: the step after which the average begins with the weights as they are; 0 (default): with the
 * weights before the first step; 1: as torch.optim.swa_utils.AveragedModel. `every`: steps from update to update.
 * `warmup`: the decay is at most (1 + n)/(10 + n) at update n, so that the average forgets the beginning. `debias`: update n
 * gives what an average from zero is, divided by 1 − decayⁿ, so that the weights before the first update do not count.
 * `overwriteEvery`: after every so many steps training goes on from the average (`ema_overwrite_frequency` of Keras); 0
 * (default): never.
 */
export const ema = (
  decay: number,
  inner: Optimizer,
  options: {
    readonly start?: number;
    readonly every?: number;
    readonly warmup?: boolean;
    readonly debias?: boolean;
    readonly overwriteEvery?: number;
  } = {},
): Optimizer => exponentialAverage({ decay, ...options }, inner);

const stochasticAverage = /* @__PURE__ */ defineWrapper({
  name: 'swa',
  hyperparameters: { start: count(1, 0), every: count(1) },
  slots: () => [{ name: 'average', start: 'param', meaning: { of: meanings.averageOfWeights, joinsLate: true } }],
  after({ param, slots, step, hyper: { start, every } }) {
    const samples = step.sub(start).div(every).floor().add(1);
    const due = step.sub(start).mod(every).equal(0);
    const next = slots.average.add(param.sub(slots.average).div(samples.max(1)));
    return { slots: { average: where(step.lessOrEqual(start), param, where(due, next, slots.average)) } };
  },
  views: { averaged: ({ slots }) => slots.average },
});

/**
 * Stochastic weight averaging (Izmailov et al. 2018, algorithm 1): the plain mean of the weights after steps `start`,
 * `start` + `every`, `start` + 2·`every`, … The view `averaged` is the mean; before `start`, the weights.
 */
export const swa = (options: { readonly start?: number; readonly every?: number }, inner: Optimizer): Optimizer =>
  stochasticAverage(options, inner);

const lookAhead = /* @__PURE__ */ defineWrapper({
  name: 'lookahead',
  hyperparameters: { every: count(5), alpha: fraction(0.5) },
  slots: () => [{ name: 'slow', start: 'param', meaning: { of: meanings.averageOfWeights, joinsLate: true } }],
  after({ param, slots, step, hyper: { every, alpha } }) {
    const due = step.mod(every).equal(0);
    const slow = slots.slow.add(param.sub(slots.slow).mul(alpha));
    return { param: where(due, slow, param), slots: { slow: where(due, slow, slots.slow) } };
  },
  views: { averaged: ({ slots }) => slots.slow },
});

/**
 * Lookahead (Zhang et al. 2019, algorithm 1): after every `every` steps the slow weights move by `alpha` towards the fast
 * ones, which go on from there. The view `averaged` is the slow weights.
 */
export const lookahead = (
  inner: Optimizer,
  options: { readonly every?: number; readonly alpha?: number } = {},
): Optimizer => lookAhead(options, inner);

const shrinking = /* @__PURE__ */ defineWrapper({
  name: 'decoupledDecay',
  hyperparameters: { rate: { ...decayRate(0), offAtZero: true } },
  after: ({ param, before, uses, hyper: { rate } }) => (uses.rate ? { param: param.sub(before.mul(rate)) } : {}),
});

/**
 * Decoupled weight decay for a rule that has none, or another: every step takes the fraction `rate` off the weights,
 * θ ← θ − rate · θ, beside what the rule does (Loshchilov & Hutter 2019). AdamW's is lr · weightDecay; to have it follow the
 * learning rate, give both one schedule: `.withSchedules({ lr: s, 'decoupledDecay.rate': s })`.
 */
export const decoupledDecay = (rate: number, inner: Optimizer): Optimizer => shrinking({ rate }, inner);

const normRange = /* @__PURE__ */ defineWrapper({
  name: 'normRange',
  hyperparameters: { least: nonNegative(0), most: positive(1), rate: fraction(1) },
  after({ param, matrix, units, hyper: { least, most, rate } }) {
    const w = matrix ? asMatrix(param) : param;
    const length = (matrix ? norm(w, units === 'rows' ? 'cols' : 'rows') : norm(w)).max(1e-12);
    const wanted = length
      .clip(least, most)
      .mul(rate)
      .add(length.mul(oneMinus(rate)));
    const limited = where(wanted.equal(length), w, w.mul(wanted.div(length)));
    return { param: matrix ? asParam(limited) : limited };
  },
});

/**
 * A constraint: after each step the lengths of the weights of every output unit move by the fraction `rate` into
 * [least, most].
 */
export const minMaxNorm = (
  inner: Optimizer,
  options: { readonly least?: number; readonly most?: number; readonly rate?: number },
): Optimizer => normRange(options, inner);
/** A constraint: the weights of every output unit are at most `limit` long after each step (Srivastava et al. 2014, §5.1). */
export const maxNorm = (limit: number, inner: Optimizer): Optimizer => normRange({ most: limit }, inner);
/** A constraint: the weights of every output unit have length 1 after each step. */
export const unitNorm = (inner: Optimizer): Optimizer => normRange({ least: 1, most: 1 }, inner);

const positivePart = /* @__PURE__ */ defineWrapper({
  name: 'nonNegative',
  hyperparameters: {},
  after: ({ param }) => ({ param: param.max(0) }),
});

/** A constraint: no weight is negative after a step. */
export const nonNegativeWeights = (inner: Optimizer): Optimizer => positivePart({}, inner);

/**
 * Keeps rows of matrices as they are, e.g. an embedding's padding row: no gradient, no update, no decay. Put it around
 * the optimizer of a group that chooses the embeddings.
 *
 * @param rows indices of rows, counted from 0
 */
export function freezeRows(rows: readonly number[], inner: Optimizer): Optimizer {
  if (!Array.isArray(rows) || rows.length === 0 || rows.some((row) => !Number.isSafeInteger(row) || row < 0)) {
    throw new AdakitError(
      'invalid-hyperparameter',
      `freezeRows: rows must be indices counted from 0, got [${String(rows)}]`,
    );
  }
  const ranges = toRanges(rows);
  const definitions = Object.fromEntries(
    ranges.flatMap(([first, last], i) => [
      [`first${i}`, count(first, 0)],
      [`last${i}`, count(last, 0)],
    ]),
  );
  const frozen = defineWrapper({
    name: 'freezeRows',
    hyperparameters: definitions,
    gradient({ grad, matrix, hyper }) {
      return { grad: heldRows(grad, grad.mul(0), matrix, ranges, hyper) };
    },
    after({ param, before, matrix, hyper }) {
      return { param: heldRows(param, before, matrix, ranges, hyper) };
    },
  });
  return frozen({}, inner);
}

function heldRows(
  moved: Tensor,
  held: Tensor,
  matrix: boolean,
  ranges: readonly unknown[],
  hyper: Readonly<Record<string, Parameters<Tensor['less']>[0]>>,
): Tensor {
  if (!matrix) throw new AdakitError('invalid-rule', 'only matrices have rows; choose them with a group');
  const index = rowIndex();
  const result = ranges.reduce<Tensor>((value, _, i) => {
    const inside = where(
      index.less(hyper[`first${i}`]),
      value,
      where(index.greater(hyper[`last${i}`]), value, asMatrix(held)),
    );
    return inside;
  }, asMatrix(moved));
  return asParam(result);
}

/** Consecutive indices as pairs of first and last. */
function toRanges(rows: readonly number[]): [number, number][] {
  const ranges: [number, number][] = [];
  for (const row of [...new Set(rows)].sort((a, b) => a - b)) {
    const last = ranges.at(-1);
    if (last !== undefined && row === last[1] + 1) last[1] = row;
    else ranges.push([row, row]);
  }
  return ranges;
}
