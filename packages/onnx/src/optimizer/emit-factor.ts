import { jacobiSweeps, type FactorName, type Precision } from '@adakit/core';
import { addBodyOutput } from '../entry/body.js';
import type { Emitter } from '../graph/emitter.js';
import type { Value } from '../graph/value.js';
import { Tensor } from '../model/tensor.js';

/** What {@link emitFactor} knows of where it is written. */
export interface FactorPlace {
  readonly precision: Precision;
  readonly dims: readonly number[];
  /** Whether the result is looked at, of rank 0. Default: it is. */
  readonly needed: Value | undefined;
}

/** A factor of a matrix in standard operators: a Loop over columns, or over rounds of rotations. */
export function emitFactor(e: Emitter, op: FactorName, matrix: Value, place: FactorPlace): Value {
  return op === 'orthonormal' ? orthonormal(e, matrix, place) : eigenvectors(e, matrix, place);
}

/** Carries values through `steps` turns; through none where nobody looks at the result. */
function loop(
  e: Emitter,
  { steps, needed }: { readonly steps: number; readonly needed: Value | undefined },
  initial: readonly Value[],
  turn: (e: Emitter, index: Value, state: readonly Value[]) => readonly Value[],
): readonly Value[] {
  const inner = e.inside('turn');
  const { graph } = inner;
  const input = ({ dtype, shape }: Pick<Value, 'dtype' | 'shape'>) =>
    graph.addInput(graph.uniqueName(`${graph.name}/input`), { dtype, shape });
  const index = input({ dtype: 'int64', shape: [] });
  const goesOn = input({ dtype: 'bool', shape: [] });
  const state = turn(inner, index, initial.map(input));
  for (const value of [goesOn, ...state]) addBodyOutput(graph, value);
  const count = e.scalar(steps, 'int64');
  const turns = needed === undefined ? count : e.where(needed, count, e.scalar(0, 'int64'));
  const results = e.control('Loop', [turns, e.scalar(1, 'bool'), ...initial], { body: graph }, {}, initial.length);
  return results.map((value, i) => e.assume(value, initial[i].shape ?? []));
}

/** 0, 1, 2, … as a column of numbers. */
function indices(e: Emitter, count: number, precision: Precision): Value {
  const range = e.node('Range', [e.scalar(0, precision), e.scalar(count, precision), e.scalar(1, precision)]);
  return e.reshape(e.assume(range, [count]), [count, 1]);
}

function identity(e: Emitter, count: number, precision: Precision): Value {
  const column = indices(e, count, precision);
  return e.cast(e.equal(column, e.transpose(column, [1, 0])), precision);
}

/** Divided by the largest magnitude along the axes (default: of all), so that squares of elements neither vanish nor overflow. */
function scaledToOne(e: Emitter, matrix: Value, precision: Precision, axes?: readonly number[]): Value {
  const magnitudes = e.node('Abs', [matrix]);
  const largest = e.node('ReduceMax', axes === undefined ? [magnitudes] : [magnitudes, e.int64(axes)], { keepdims: 1 });
  const isZero = e.equal(largest, e.scalar(0, precision));
  return e.div(matrix, e.where(isZero, e.scalar(1, precision), largest));
}

/** Householder reflections, as `orthonormalColumns` in core has them: one Loop finds them, another applies them to Q. */
function orthonormal(e: Emitter, matrix: Value, { precision, dims: [rows, cols], needed }: FactorPlace): Value {
  const count = Math.min(rows, cols);
  const column = indices(e, rows, precision);
  const row = e.transpose(indices(e, count, precision), [1, 0]);
  // Q is the same for columns of any lengths.
  const scaled = scaledToOne(e, matrix, precision, [0]);
  const none = e.constant(Tensor.filled(precision, [rows, count], 0));
  const ones = e.constant(Tensor.filled(precision, [1, count], 1));
  const reflected = (inner: Emitter, w: Value, v: Value, divisor: Value): Value =>
    inner.sub(w, inner.matMul(inner.div(v, divisor), inner.matMul(inner.transpose(v, [1, 0]), w)));
  const [, vectors, flips] = loop(e, { steps: count, needed }, [scaled, none, ones], (inner, index, [w, vs, flips]) => {
    const [zero, one] = [inner.scalar(0, precision), inner.scalar(1, precision)];
    const at = inner.cast(index, precision);
    const here = inner.equal(column, at);
    const whole = inner.reshape(inner.gather(w, index, 1), [rows, 1]);
    const x = scaledToOne(inner, inner.where(inner.greaterOrEqual(column, at), whole, zero), precision);
    const length = inner.sqrt(inner.reduceSum(inner.square(x)));
    const isZero = inner.equal(length, zero);
    const divisor = inner.where(isZero, one, length);
    const first = inner.reduceSum(inner.where(here, x, zero));
    const sign = inner.where(inner.less(first, zero), inner.neg(one), one);
    const unit = inner.cast(here, precision);
    const v = inner.where(isZero, zero, inner.add(inner.mul(inner.div(x, divisor), sign), unit));
    const length0 = inner.add(one, inner.div(inner.node('Abs', [first]), divisor));
    const isColumn = inner.equal(row, at);
    return [
      reflected(inner, w, v, length0),
      inner.where(isColumn, v, vs),
      inner.where(isColumn, inner.where(isZero, one, inner.neg(sign)), flips),
    ];
  });
  const start = e.cast(e.equal(column, row), precision);
  const [q] = loop(e, { steps: count, needed }, [start], (inner, index, [q]) => {
    const [zero, one] = [inner.scalar(0, precision), inner.scalar(1, precision)];
    const last = inner.sub(inner.scalar(count - 1, 'int64'), index);
    const v = inner.reshape(inner.gather(vectors, last, 1), [rows, 1]);
    const first = inner.reduceSum(inner.where(inner.equal(column, inner.cast(last, precision)), v, zero));
    return [reflected(inner, q, v, inner.where(inner.equal(first, zero), one, first))];
  });
  const result = e.mul(q, flips);
  return cols === count ? result : e.node('Pad', [result, e.int64([0, 0, 0, cols - count])]);
}

/**
 * Jacobi's method in rounds of rotations that have no row in common, as in a tournament where everybody meets everybody in
 * one round (Golub & Van Loan, §8.5.7); with an odd number of rows one rests.
 */
function eigenvectors(e: Emitter, matrix: Value, { precision, dims: [n], needed }: FactorPlace): Value {
  const players = n + (n % 2);
  const rounds = Math.max(players - 1, 1);
  const numbers = e.int64(Array.from({ length: n }, (_, i) => i));
  const lower = e.node('Trilu', [scaledToOne(e, matrix, precision)], { upper: 0 });
  const one = identity(e, n, precision);
  const symmetric = e.sub(e.add(lower, e.transpose(lower, [1, 0])), e.mul(lower, one));
  const [a, vectors] = loop(
    e,
    { steps: n < 2 ? 0 : rounds * jacobiSweeps(n), needed },
    [symmetric, one],
    (inner, index, [a, v]) => {
      const [zero, unit] = [inner.scalar(0, precision), inner.scalar(1, precision)];
      const int = (value: number) => inner.scalar(value, 'int64');
      const mod = (x: Value): Value => inner.node('Mod', [x, int(rounds)]);
      const round = mod(index);
      const across = mod(inner.sub(round, numbers));
      const opposite = inner.where(inner.equal(across, numbers), int(players - 1), across);
      const last = mod(inner.mul(round, int(players / 2)));
      const met = inner.where(inner.equal(numbers, int(players - 1)), last, opposite);
      const partner = inner.where(inner.less(met, int(n)), met, numbers);
      const partners = inner.reshape(partner, [n, 1]);
      const own = inner.reshape(inner.reduceSum(inner.mul(a, one), [1]), [n, 1]);
      const other = inner.reshape(inner.gather(own, partner), [n, 1]);
      // Both of a pair must see the same number, or they do not turn together: rounding leaves no matrix symmetric.
      const [above, below] = [a, inner.transpose(a, [1, 0])].map((x) =>
        inner.node('GatherElements', [x, partners], { axis: 1 }),
      );
      const twice = inner.add(above, below);
      const rests = inner.equal(partners, inner.reshape(numbers, [n, 1]));
      const none = inner.node('Or', [rests, inner.equal(twice, zero)]);
      const theta = inner.div(inner.sub(other, own), inner.where(none, unit, twice));
      const first = inner.less(inner.reshape(numbers, [n, 1]), partners);
      const atZero = inner.where(first, unit, inner.neg(unit));
      const sign = inner.where(inner.equal(theta, zero), atZero, inner.node('Sign', [theta]));
      const root = inner.sqrt(inner.add(unit, inner.square(theta)));
      const t = inner.where(none, zero, inner.div(sign, inner.add(inner.node('Abs', [theta]), root)));
      const c = inner.div(unit, inner.sqrt(inner.add(unit, inner.square(t))));
      const s = inner.mul(t, c);
      const [cRow, sRow] = [c, s].map((x) => inner.transpose(x, [1, 0]));
      const turned = (x: Value): Value => inner.sub(inner.mul(x, cRow), inner.mul(inner.gather(x, partner, 1), sRow));
      const rows = inner.sub(inner.mul(a, c), inner.mul(inner.gather(a, partner), s));
      const isPartner = inner.equal(inner.reshape(numbers, [1, n]), partners);
      const gone = inner.and(isPartner, inner.not(rests));
      return [inner.where(gone, zero, turned(rows)), turned(v)];
    },
  );
  const values = e.reduceSum(e.mul(a, one), [1]);
  const [, order] = e.nodes('TopK', [values, e.int64([n])], { axis: 0, largest: 1, sorted: 1 }, 2);
  const sorted = e.gather(vectors, order, 1);
  const largest = e.node('ArgMax', [e.node('Abs', [sorted])], { axis: 0, keepdims: 1 });
  const leading = e.node('GatherElements', [sorted, largest], { axis: 0 });
  const zero = e.scalar(0, precision);
  const sign = e.where(e.less(leading, zero), e.scalar(-1, precision), e.scalar(1, precision));
  return e.assume(e.mul(sorted, sign), [n, n]);
}
