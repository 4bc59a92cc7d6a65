import type { Emitter } from '../../graph/emitter.js';
import type { Value } from '../../graph/value.js';
import { multiplyDims, type Dim } from '../../shape/dim.js';
import type { GradientContext } from '../operator.js';

/**
 * What a cell writes its backward pass with. Rows are [time·batch, …], of all steps; what a step has is [batch, …]. The steps
 * are in the order in which the state goes through them.
 */
export interface ThroughTime {
  readonly e: Emitter;
  readonly ctx: GradientContext;
  readonly hidden: number;
  /** x Wᵀ and the biases, rows of all gates; without the recurrent bias of gates that ask for it alone. */
  readonly projected: Value;
  /** R of all gates, [gates·hidden, hidden]. */
  readonly recurrent: Value;
  /** The recurrent bias of all gates, where the node has biases. */
  readonly recurrentBias: Value | undefined;
  /** The hidden state before every step, in rows. */
  readonly before: Value;
  /** The state before the first step. */
  readonly initial: readonly Value[];
  /** The cotangents of what every step puts out; undefined where the loss does not depend on them. */
  readonly arriving: readonly Value[] | undefined;
  /** Those of the state after the last step. */
  readonly last: readonly (Value | undefined)[];
  activate(index: number, x: Value): Value;
  /** The cotangent of `x` for cotangents of values computed from it. */
  cotangent(x: Value, ends: readonly (readonly [Value, Value])[]): Value;
  /** Pieces of rows, of so many gates each. */
  apart(x: Value, counts: readonly number[]): readonly Value[];
  /** The states of c[t] = k[t] ⊙ c[t − 1] + a[t] before and after every step, in rows, of rows of k and a and the first state. */
  linear(factors: Value, terms: Value, initial: Value): readonly Value[];
  stepsOf(rows: Value): readonly Value[];
  rowsOf(steps: readonly Value[]): Value;
}

/** What comes out of it: all cotangents but those that products with the inputs of the layer give. */
export interface Cotangents {
  /** Of {@link ThroughTime.projected}. */
  readonly projected: Value;
  /** Of {@link ThroughTime.recurrent}; written when it is wanted. */
  readonly recurrent: () => Value;
  /** Rows whose sum is that of the recurrent bias, where they are others than those of `projected`. */
  readonly recurrentBias?: Value;
  /** Of the state before the first step; written when they are wanted. */
  readonly initial: readonly (() => Value)[];
}

/** A layer of known sizes. */
export interface Layer {
  readonly gates: number;
  /** How many states it has: one, or two with the cell state. */
  readonly states: number;
  readonly time: number;
  readonly hidden: number;
  /** Gates whose recurrent bias the cell adds itself. */
  readonly separate: readonly number[];
  readonly activate: (direction: number, index: number, x: Value) => Value;
}

/**
 * The backward pass of a recurrent layer of `time` steps, after a forward pass whose hidden states are known. All that depends
 * on the forward pass alone is computed for all steps at once; what is left in a step is the recurrence of the cotangents.
 *
 * @param backward how a cell writes it
 * @returns one cotangent an input of the node
 */
export function throughTime(
  ctx: GradientContext,
  backward: (way: ThroughTime) => Cotangents,
  layer: Layer,
): readonly (Value | undefined)[] {
  const { e, node } = ctx;
  const x = ctx.input(0);
  const width = Number(ctx.shape(x)[2]);
  const inputs = inRows(e, x, width, rowCount(ctx, layer));
  const direction = node.attributes.string('direction', 'forward');
  const ways = Array.from({ length: direction === 'bidirectional' ? 2 : 1 }, (_, index) => {
    const way = wayOf(ctx, layer, inputs, { index, isBackward: direction === 'reverse' || index === 1 });
    return { ...backward(way), weights: way.weights };
  });
  /** One tensor of those of all directions. */
  const joined = (index: number, write: (way: (typeof ways)[number]) => Value): Value | undefined => {
    if (!ctx.needs(index)) return undefined;
    const all = e.concat(
      ways.map((way) => e.unsqueeze(write(way), [0])),
      0,
    );
    return e.assume(all, ctx.shape(ctx.input(index)));
  };
  const ofInputs = () => {
    const rows = ways.map(({ projected, weights }) => e.matMul(projected, weights)).reduce((a, b) => e.add(a, b));
    return e.assume(e.reshape(rows, [layer.time, -1, width]), ctx.shape(x));
  };
  const sum = (value: Value) => e.reduceSum(value, [0]);
  return [
    ctx.needs(0) ? ofInputs() : undefined,
    joined(1, ({ projected }) => e.gemm(projected, inputs, { transA: true })),
    joined(2, ({ recurrent }) => recurrent()),
    joined(3, ({ projected, recurrentBias }) => e.concat([sum(projected), sum(recurrentBias ?? projected)], 0)),
    undefined,
    ...Array.from({ length: layer.states }, (_, i) => joined(5 + i, ({ initial }) => initial[i]())),
  ];
}

/** One of the directions of a layer. */
interface Direction {
  /** Its place in the tensors of both. */
  readonly index: number;
  /** Whether its first step is the last one of time. */
  readonly isBackward: boolean;
}

/** What there is of one direction before its backward pass, with W, [gates·hidden, input]. */
function wayOf(
  ctx: GradientContext,
  layer: Layer,
  inputs: Value,
  direction: Direction,
): ThroughTime & { readonly weights: Value } {
  const { e } = ctx;
  const { time, hidden, states } = layer;
  const { index } = direction;
  const batch = ctx.shape(ctx.input(0))[1];
  const count = rowCount(ctx, layer);
  const inOrder = <T>(list: readonly T[]) => (direction.isBackward ? list.toReversed() : list);
  const part = (value: Value, axis: number) => {
    const isWhole = value.shape?.[axis] === 1;
    return isWhole ? value : e.slice(value, { starts: [index], ends: [index + 1], axes: [axis] });
  };
  const own = (input: number) => (ctx.has(input) ? e.squeeze(part(ctx.input(input), 0), [0]) : undefined);
  const required = (input: number) => own(input) ?? ctx.fail(`input ${input} is missing`);
  const [weights, recurrent, biases] = [required(1), required(2), own(3)];
  const halves = biases && e.nodes('Split', [biases], { num_outputs: 2 }, 2);
  const bias = halves && e.add(halves[0], withoutSeparate(e, halves[1], layer));
  const projected = e.node('Gemm', [inputs, weights, bias], { transB: 1 });

  const hiddenStates = part(ctx.output(0), 1);
  const statesAfter = (first: number, end: number) =>
    inRows(
      e,
      e.slice(hiddenStates, { starts: [first], ends: [end], axes: [0] }),
      hidden,
      multiplyDims(end - first, batch),
    );
  const some = statesAfter(0, 1);
  const initial = Array.from({ length: states }, (_, i) => own(5 + i) ?? e.zerosLike(some));
  const others = time === 1 ? [] : [direction.isBackward ? statesAfter(1, time) : statesAfter(0, time - 1)];
  const before = e.concat(inOrder([initial[0], ...others]), 0);
  const stepsOf = (rows: Value) => inOrder(alongTime(e, rows, time, batch));
  return {
    e,
    ctx,
    hidden,
    weights,
    projected,
    recurrent,
    recurrentBias: halves?.[1],
    before: e.assume(before, [count, hidden]),
    initial,
    arriving: ctx.hasGrad(0) ? stepsOf(inRows(e, part(ctx.grad(0), 1), hidden, count)) : undefined,
    last: initial.map((_, i) => (ctx.hasGrad(1 + i) ? e.squeeze(part(ctx.grad(1 + i), 0), [0]) : undefined)),
    activate: (activation, value) => layer.activate(index, activation, value),
    cotangent: (value, ends) =>
      ctx.backward(e, ends, [value]).get(value) ?? ctx.fail('its activations do not depend on their inputs'),
    apart: (value, counts) =>
      counts.length === 1
        ? [value]
        : e.nodes('Split', [value, e.int64(counts.map((gates) => gates * hidden))], { axis: 1 }, counts.length),
    linear: (factors, terms, first) => {
      const attributes = { time, reverse: Number(direction.isBackward) };
      return e.nodes('adakit::LinearRecurrence', [factors, terms, first], attributes, 2);
    },
    stepsOf,
    rowsOf: (steps) => e.assume(e.concat(inOrder(steps), 0), [count, steps[0].shape?.[1] ?? 1]),
  };
}

/** Time and batch as one axis. */
function rowCount(ctx: GradientContext, { time }: Layer): Dim {
  return multiplyDims(time, ctx.shape(ctx.input(0))[1]);
}

/** A value as `count` rows of a length. */
export function inRows(e: Emitter, value: Value, length: number, count: Dim): Value {
  return e.assume(e.reshape(value, [-1, length]), [count, length]);
}

/** A vector of all gates with zeros for those of {@link Layer.separate}. */
function withoutSeparate(e: Emitter, vector: Value, { separate, gates, hidden }: Layer): Value {
  if (separate.length === 0) return vector;
  const parts = e.nodes('Split', [vector], { num_outputs: gates }, gates);
  const zeros = e.zerosLike(parts[0]);
  return e.assume(
    e.concat(
      parts.map((part, gate) => (separate.includes(gate) ? zeros : part)),
      0,
    ),
    [gates * hidden],
  );
}

/** The matrices of the steps of rows. */
export function alongTime(e: Emitter, rows: Value, time: number, batch: Dim): readonly Value[] {
  if (time === 1) return [rows];
  return e
    .nodes('Split', [rows], { axis: 0, num_outputs: time }, time)
    .map((step) => e.assume(step, [batch, rows.shape?.[1] ?? 1]));
}
