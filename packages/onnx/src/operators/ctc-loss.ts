import type { Emitter } from '../graph/emitter.js';
import type { Value } from '../graph/value.js';
import type { DType } from '../model/dtype.js';
import { OWN_DOMAIN } from '../model/opset.js';
import { addDims, multiplyDims } from '../shape/dim.js';
import { printShape, type Shape } from '../shape/shape.js';
import { scan } from '../entry/body.js';
import type { DefinitionContext, Operator } from '../entry/operator.js';

/**
 * The logarithm of probability zero. An actual −∞ would make NaN of −∞ − (−∞) where no path leads to any of several
 * states; this absorbs every log-probability added to it in float32 and float64, and a billion of them do not overflow.
 */
const NEVER = -1e30;

/** What is less likely has no path at all. */
const IMPOSSIBLE = -1e29;

/**
 * The negative log-likelihood of label sequences under connectionist temporal classification (Graves et al. 2006), which
 * `ctc` writes; it is in no file. Inputs: log-probabilities [T, N, C], labels [N, S], the number of steps of each sample
 * [N] and the number of labels [N], all int64; attribute: the class `blank`. Outputs: the loss of each sample [N], +∞
 * where the labels do not fit into the steps, and the forward variables [T, N, 2S + 1].
 *
 * The forward variables are a Scan over the steps. The gradient is analytic: minus the posterior of each class at each
 * step (Graves et al. 2006, equations 14 and 15), from the backward variables, which are a second Scan.
 */
export const CTCLoss: Operator = {
  op: 'CTCLoss',
  domain: OWN_DOMAIN,
  since: 1,
  notes: 'written by the loss `ctc`, in no file',
  infer(ctx) {
    const [scores, labels] = [ctx.shape(0), ctx.shape(1)];
    if (scores.length !== 3 || labels.length !== 2) {
      ctx.fail(`scores ${printShape(scores)} and labels ${printShape(labels)} must have shapes [T, N, C] and [N, S]`);
    }
    const states = addDims(multiplyDims(2, labels[1]), 1);
    return [
      { dtype: ctx.dtype(0), shape: [scores[1]] },
      { dtype: ctx.dtype(0), shape: [scores[0], scores[1], states] },
    ];
  },
  define(ctx) {
    const { e } = ctx;
    const lattice = latticeOf(ctx);
    const { dtype, emissions, positions, finals } = lattice;
    const never = e.scalar(NEVER, dtype);
    const start = e.where(e.equal(positions, e.scalar(0, 'int64')), e.scalar(0, dtype), never);
    const forward = pathsThrough(e, lattice, {
      start: e.node('Expand', [start, e.node('Gather', [e.shapeOf(emissions), e.int64([1, 2])], { axis: 0 })]),
      emissions,
      skip: lattice.skip,
      reverse: false,
    });
    const last = e.node('ReduceLogSumExp', [e.where(finals, forward.last, never), e.int64([1])], { keepdims: 0 });
    const likelihood = e.add(e.reduceSum(forward.gains, [0]), last);
    const isPossible = e.greater(likelihood, e.scalar(IMPOSSIBLE, dtype));
    const loss = e.where(isPossible, e.neg(likelihood), e.scalar(Infinity, dtype));
    return [loss, forward.states];
  },
  gradient(ctx) {
    const { e } = ctx;
    const lattice = latticeOf(ctx);
    const { dtype, emissions, classes, active, positions, targetLengths } = lattice;
    const never = e.scalar(NEVER, dtype);
    // Backward variables are forward ones of the sequence read from its end, time and labels alike.
    const end = e.unsqueeze(e.mul(targetLengths, e.scalar(2, 'int64')), [1]);
    const backward = pathsThrough(e, lattice, {
      start: flip(e, e.where(e.equal(positions, end), e.scalar(0, dtype), never)),
      emissions: flip(e, emissions),
      // A step over a state leads to that state's successor here: what is allowed lies two further.
      skip: flip(e, window(e, lattice.skip, { before: 0, after: 2, from: 2, value: never })),
      reverse: true,
    });
    // Both sides count the emission. Neither is normalized; their product is what it is up to a factor a step.
    const joint = e.sub(e.add(ctx.output(1), flip(e, backward.states)), emissions);
    const posterior = e.node('Softmax', [joint], { axis: -1 });
    const isPossible = e.less(ctx.output(0), e.scalar(-IMPOSSIBLE, dtype));
    const weight = e.where(e.and(active, isPossible), e.neg(ctx.grad(0)), e.scalar(0, dtype));
    const shares = e.mul(posterior, e.unsqueeze(weight, [2]));
    const scattered = e.node('ScatterElements', [e.zerosLike(ctx.input(0)), classes, shares], {
      axis: 2,
      reduction: 'add',
    });
    return [scattered, undefined, undefined, undefined];
  },
};

/**
 * Labels y₁ … y_S as the states of the model that emits them: blank, y₁, blank, …, y_S, blank. States beyond those of a
 * sample's own labels are blanks from which no way leads back.
 */
interface Lattice {
  readonly dtype: DType;
  readonly targetLengths: Value;
  /** The class of each state at each step: [T, N, L], int64. */
  readonly classes: Value;
  /** Its log-probability: [T, N, L]. */
  readonly emissions: Value;
  /** Whether a step counts: [T, N]. */
  readonly active: Value;
  /** 0 where a state may be reached from two before, skipping a blank, and {@link NEVER} elsewhere: [N, L]. */
  readonly skip: Value;
  /** 0, 1, …, L − 1. */
  readonly positions: Value;
  /** Whether a sequence may end in a state: [N, L]. */
  readonly finals: Value;
}

function latticeOf(ctx: Pick<DefinitionContext, 'e' | 'node' | 'input'>): Lattice {
  const { e } = ctx;
  const [scores, labels, inputLengths, targetLengths] = [0, 1, 2, 3].map((i) => ctx.input(i));
  const dtype = scores.dtype ?? 'float32';
  const number = (value: number) => e.scalar(value, 'int64');
  const blank = number(ctx.node.attributes.int('blank', 0));
  const count = (value: Value, axis: number) => e.gather(e.shapeOf(value), number(axis));
  const upTo = (limit: Value) => e.node('Range', [number(0), limit, number(1)]);

  const ends = e.unsqueeze(targetLengths, [1]);
  const own = e.where(e.less(upTo(count(labels, 1)), ends), labels, blank);
  const pairs = e.concat([e.unsqueeze(e.node('Expand', [blank, e.shapeOf(own)]), [2]), e.unsqueeze(own, [2])], 2);
  const twice = e.mul(e.shapeOf(labels), e.int64([1, 2]));
  // With padded labels of length 0, a -1 in the new shape could stand for anything.
  const states = window(e, e.node('Reshape', [pairs, twice], { allowzero: 1 }), { before: 0, after: 1, value: blank });

  const steps = upTo(count(scores, 0));
  const every = e.concat([e.unsqueeze(count(scores, 0), [0]), e.int64([1, 1])], 0);
  const classes = e.node('Expand', [states, every]);
  const picked = e.node('GatherElements', [scores, classes], { axis: 2 });
  const positions = upTo(count(states, 1));
  const last = e.mul(ends, number(2));
  const before = window(e, states, { before: 2, after: 0, to: -2, value: blank });
  const isSkippable = e.and(e.not(e.equal(states, blank)), e.not(e.equal(states, before)));
  return {
    dtype,
    targetLengths,
    classes,
    // A class that a model rules out has log-probability −∞.
    emissions: e.node('Max', [picked, e.scalar(NEVER, dtype)]),
    active: e.less(e.unsqueeze(steps, [1]), e.unsqueeze(inputLengths, [0])),
    skip: e.where(isSkippable, e.scalar(0, dtype), e.scalar(NEVER, dtype)),
    positions,
    finals: e.node('Or', [e.equal(positions, last), e.equal(positions, e.sub(last, number(1)))]),
  };
}

/** The last axis continued with `value` on both ends, then cut. */
function window(
  e: Emitter,
  x: Value,
  options: { before: number; after: number; from?: number; to?: number; value: Value },
): Value {
  const { before, after, from = 0, to = TO_END, value } = options;
  const zeros = new Array<number>((x.shape ?? []).length - 1).fill(0);
  const padded = e.node('Pad', [x, e.int64([...zeros, before, ...zeros, after]), value]);
  return from === 0 && to === TO_END ? padded : e.slice(padded, { starts: [from], ends: [to], axes: [zeros.length] });
}

const TO_END = 2 ** 31 - 1;

/** The last axis from its end to its start. */
function flip(e: Emitter, x: Value): Value {
  const axis = (x.shape ?? []).length - 1;
  return e.slice(x, { starts: [-1], ends: [-TO_END], axes: [axis], steps: [-1] });
}

interface Recursion {
  /** Log-probabilities of the states before the first step: [N, L]. */
  readonly start: Value;
  readonly emissions: Value;
  readonly skip: Value;
  /** From the last step to the first. */
  readonly reverse: boolean;
}

/**
 * a ← log Σ exp(a of the state, of the one before and, where it may be skipped to, of the one before that) + emission,
 * for each step that counts. The largest a is taken out at every step, so that numbers stay near 0 however many steps
 * there are; `gains` is what was taken out.
 *
 * @returns the states after the last step [N, L], after each step [T, N, L], and the gains [T, N]
 */
function pathsThrough(
  e: Emitter,
  { dtype, active }: Lattice,
  { start, emissions, skip, reverse }: Recursion,
): { last: Value; states: Value; gains: Value } {
  const shape = emissions.shape as Shape;
  const inner = e.inside('step');
  const { graph: body } = inner;
  const input = (name: string, of: DType, dims: Shape) =>
    body.addInput(body.uniqueName(`${body.name}/${name}`), { dtype: of, shape: dims });
  const state = input('state', dtype, shape.slice(1));
  const emission = input('emission', dtype, shape.slice(1));
  const isActive = inner.unsqueeze(input('active', 'bool', [shape[1]]), [1]);

  const padded = window(inner, state, { before: 2, after: 0, value: inner.scalar(NEVER, dtype) });
  const previous = inner.slice(padded, { starts: [1], ends: [-1], axes: [1] });
  const secondLast = inner.slice(padded, { starts: [0], ends: [-2], axes: [1] });
  const ways = [state, previous, inner.add(secondLast, skip)].map((way) => inner.unsqueeze(way, [1]));
  const arrived = inner.node('ReduceLogSumExp', [inner.concat(ways, 1), inner.int64([1])], { keepdims: 0 });
  const emitted = inner.add(arrived, emission);
  const most = inner.node('ReduceMax', [emitted, inner.int64([1])], { keepdims: 1 });
  const next = inner.where(isActive, inner.sub(emitted, most), state);
  const gain = inner.squeeze(inner.where(isActive, most, inner.scalar(0, dtype)), [1]);
  body.outputs.push(next, inner.node('Identity', [next]), gain);

  const along = { axis: 0, turned: reverse };
  const read = [emissions, active].map((outer) => ({ ...along, outer }));
  const [last, states, gains] = scan(e, body, [start], read, [along, along]);
  return { last, states: e.assume(states, shape), gains };
}
