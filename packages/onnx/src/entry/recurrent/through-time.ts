import type { Emitter } from '../../graph/emitter.js';
import type { Value } from '../../graph/value.js';
import { multiplyDims } from '../../shape/dim.js';
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
  { gates, states, time, hidden, separate, activate }: Layer,
): readonly (Value | undefined)[] {
  const { e, node } = ctx;
  const direction = node.attributes.string('direction', 'forward');
  const x = ctx.input(0);
  const [, batch, width] = ctx.shape(x);
  const rows = (value: Value, length: number) =>
    e.assume(e.reshape(value, [-1, length]), [multiplyDims(time, batch), length]);
  const inputs = e.assume(e.reshape(x, [-1, Number(width)]), [multiplyDims(time, batch), width]);
  const ways = Array.from({ length: direction === 'bidirectional' ? 2 : 1 }, (_, way) => {
    const isBackward = direction === 'reverse' || way === 1;
    const inOrder = <T>(list: readonly T[]) => (isBackward ? list.toReversed() : list);
    const part = (value: Value, axis: number) => {
      const isWhole = value.shape?.[axis] === 1;
      return isWhole ? value : e.slice(value, { starts: [way], ends: [way + 1], axes: [axis] });
    };
    const own = (index: number) => (ctx.has(index) ? e.squeeze(part(ctx.input(index), 0), [0]) : undefined);
    const required = (index: number) => own(index) ?? ctx.fail(`input ${index} is missing`);
    const [weights, recurrent, biases] = [required(1), required(2), own(3)];
    const halves = biases && e.nodes('Split', [biases], { num_outputs: 2 }, 2);
    const recurrentBias = halves?.[1];
    const bias = halves && e.add(halves[0], withoutGates(e, halves[1], separate, gates, hidden));
    const projected = e.node('Gemm', [inputs, weights, bias], { transB: 1 });

    const hiddenStates = part(ctx.output(0), 1);
    const some = e.assume(e.reshape(e.slice(hiddenStates, { starts: [0], ends: [1], axes: [0] }), [-1, hidden]), [
      batch,
      hidden,
    ]);
    const initial = Array.from({ length: states }, (_, i) => own(5 + i) ?? e.zerosLike(some));
    const others =
      time === 1
        ? []
        : [
            e.assume(
              e.reshape(
                e.slice(hiddenStates, {
                  starts: [isBackward ? 1 : 0],
                  ends: [isBackward ? time : time - 1],
                  axes: [0],
                }),
                [-1, hidden],
              ),
              [multiplyDims(time - 1, batch), hidden],
            ),
          ];
    const before = e.assume(e.concat(inOrder([initial[0], ...others]), 0), [multiplyDims(time, batch), hidden]);
    const stepsOf = (value: Value) => inOrder(alongTime(e, value, time, batch));
    const result = backward({
      e,
      ctx,
      hidden,
      projected,
      recurrent,
      recurrentBias,
      before,
      initial,
      arriving: ctx.hasGrad(0) ? stepsOf(rows(part(ctx.grad(0), 1), hidden)) : undefined,
      last: initial.map((_, i) => (ctx.hasGrad(1 + i) ? e.squeeze(part(ctx.grad(1 + i), 0), [0]) : undefined)),
      activate: (index, value) => activate(way, index, value),
      cotangent: (value, ends) =>
        ctx.backward(e, ends, [value]).get(value) ?? ctx.fail('its activations do not depend on their inputs'),
      apart: (value, counts) =>
        counts.length === 1
          ? [value]
          : e.nodes('Split', [value, e.int64(counts.map((count) => count * hidden))], { axis: 1 }, counts.length),
      linear: (factors, terms, first) =>
        e.nodes('adakit::LinearRecurrence', [factors, terms, first], { time, reverse: Number(isBackward) }, 2),
      stepsOf,
      rowsOf: (steps) => e.assume(e.concat(inOrder(steps), 0), [multiplyDims(time, batch), steps[0].shape?.[1] ?? 1]),
    });
    return { ...result, weights };
  });
  const joined = (index: number, write: (way: (typeof ways)[number]) => Value): Value | undefined =>
    ctx.needs(index)
      ? e.assume(
          e.concat(
            ways.map((way) => e.unsqueeze(write(way), [0])),
            0,
          ),
          ctx.shape(ctx.input(index)),
        )
      : undefined;
  const ofInputs = () =>
    e.assume(
      e.reshape(
        ways.map(({ projected, weights }) => e.matMul(projected, weights)).reduce((a, b) => e.add(a, b)),
        [time, -1, Number(width)],
      ),
      ctx.shape(x),
    );
  const sum = (value: Value) => e.reduceSum(value, [0]);
  return [
    ctx.needs(0) ? ofInputs() : undefined,
    joined(1, ({ projected }) => e.gemm(projected, inputs, { transA: true })),
    joined(2, ({ recurrent }) => recurrent()),
    ctx.has(3)
      ? joined(3, ({ projected, recurrentBias }) => e.concat([sum(projected), sum(recurrentBias ?? projected)], 0))
      : undefined,
    undefined,
    ...Array.from({ length: states }, (_, i) =>
      ctx.has(5 + i) ? joined(5 + i, ({ initial }) => initial[i]()) : undefined,
    ),
  ];
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

/** A vector of all gates with zeros for some. */
function withoutGates(e: Emitter, vector: Value, some: readonly number[], gates: number, hidden: number): Value {
  if (some.length === 0) return vector;
  const parts = e.nodes('Split', [vector], { num_outputs: gates }, gates);
  const zeros = e.zerosLike(parts[0]);
  return e.assume(
    e.concat(
      parts.map((part, gate) => (some.includes(gate) ? zeros : part)),
      0,
    ),
    [gates * hidden],
  );
}

/** The matrices of the steps of rows. */
export function alongTime(
  e: Emitter,
  rows: Value,
  time: number,
  batch: NonNullable<Value['shape']>[number],
): readonly Value[] {
  if (time === 1) return [rows];
  return e
    .nodes('Split', [rows], { axis: 0, num_outputs: time }, time)
    .map((step) => e.assume(step, [batch, rows.shape?.[1] ?? 1]));
}
