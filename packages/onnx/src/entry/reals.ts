import type { Node } from '../graph/node.js';
import type { Contents, Value } from '../graph/value.js';
import {
  ceilDivideDims,
  floorDivideDims,
  isStatic,
  lowerBound,
  multiplyDims,
  negateDim,
  type Dim,
} from '../shape/dim.js';

/** A float that shape arithmetic comes by: a number, or a dimension over a whole number. */
type Real = number | { readonly dim: Dim; readonly over: number };

/** Sizes and scales are a few numbers; weights are not shape arithmetic. */
const MOST_ELEMENTS = 8;

/** Longer than the arithmetic of any size; a float that takes more steps is not followed. */
const MOST_STEPS = 32;

/** Fractions by which exporters scale sizes: halves, quarters, thirds. */
const MOST_PARTS = 64;

/**
 * The elements of a small float tensor that is computed from constants and sizes alone, as far back as its producers tell.
 * Exporters compute sizes with floats: the grid of a position embedding is Pow(n, 0.5), a scaled length is
 * Floor(Mul(Cast(length), 0.5)).
 */
export function realNumbers(value: Value | undefined): readonly number[] | undefined {
  const reals = realsOf(value, MOST_STEPS);
  return reals?.every((real) => typeof real === 'number') === true ? reals : undefined;
}

/** As integers, rounded towards zero, which is what Cast does. */
export function truncatedReals(value: Value): Contents | undefined {
  return wholes(realsOf(value, MOST_STEPS), (real) =>
    typeof real === 'number' ? Math.trunc(real) : lowerBound(real.dim) >= 0 ? roundedDown(real) : undefined,
  );
}

function wholes(reals: readonly Real[] | undefined, round: (real: Real) => Dim | undefined): Contents | undefined {
  const rounded = reals?.map(round);
  return rounded?.every((dim) => dim !== undefined) === true ? rounded : undefined;
}

function roundedDown(real: Real): Dim {
  return typeof real === 'number' ? Math.floor(real) : floorDivideDims(real.dim, real.over);
}

function roundedUp(real: Real): Dim {
  return typeof real === 'number' ? Math.ceil(real) : ceilDivideDims(real.dim, real.over);
}

function asReal(dim: Dim): Real {
  return isStatic(dim) ? dim : { dim, over: 1 };
}

function realsOf(value: Value | undefined, steps: number): readonly Real[] | undefined {
  if (value?.shape === undefined || value.shape.length > 1 || steps === 0) return undefined;
  const { constant } = value;
  if (constant !== undefined) return constant.size <= MOST_ELEMENTS ? constant.toNumbers() : undefined;
  const { producer, dtype } = value;
  const rule = producer?.domain === '' ? RULES[producer.op] : undefined;
  if (producer === undefined || rule === undefined) return undefined;
  const reals = rule(producer, (index) => {
    const input = producer.inputs[index];
    // Integers are followed forwards.
    return input?.contents?.map(asReal) ?? realsOf(input, steps - 1);
  });
  if (reals === undefined || reals.length > MOST_ELEMENTS) return undefined;
  return dtype === 'float32' ? reals.map((real) => (typeof real === 'number' ? Math.fround(real) : real)) : reals;
}

type Rule = (node: Node, input: (index: number) => readonly Real[] | undefined) => readonly Real[] | undefined;

const same: Rule = (_, input) => input(0);

const unary =
  (f: (x: Real) => Real | undefined): Rule =>
  (_, input) =>
    complete(input(0)?.map(f));

const binary =
  (f: (a: Real, b: Real) => Real | undefined): Rule =>
  (_, input) => {
    const [a, b] = [input(0), input(1)];
    if (a === undefined || b === undefined || (a.length !== b.length && a.length !== 1 && b.length !== 1)) {
      return undefined;
    }
    const length = a.length === 1 ? b.length : a.length;
    return complete(Array.from({ length }, (__, i) => f(a[a.length === 1 ? 0 : i], b[b.length === 1 ? 0 : i])));
  };

function complete(reals: readonly (Real | undefined)[] | undefined): readonly Real[] | undefined {
  return reals?.every((real) => real !== undefined) === true ? reals : undefined;
}

const numbers =
  (f: (a: number, b: number) => number) =>
  (a: Real, b: Real): Real | undefined =>
    typeof a === 'number' && typeof b === 'number' ? f(a, b) : undefined;

/** A dimension times a number, where that is a fraction of few parts. */
function scaled({ dim, over }: Exclude<Real, number>, by: number): Real | undefined {
  for (let parts = 1; parts <= MOST_PARTS; parts++) {
    if (Number.isSafeInteger(by * parts)) return { dim: multiplyDims(dim, by * parts), over: over * parts };
  }
  return undefined;
}

const RULES: Readonly<Record<string, Rule>> = {
  Cast: same,
  Identity: same,
  Reshape: same,
  Squeeze: same,
  Unsqueeze: same,
  Concat: (node, input) => {
    const parts = node.inputs.map((_, i) => input(i));
    return parts.every((part) => part !== undefined) ? parts.flat() : undefined;
  },
  Gather: (node, input) => {
    const [from, indices] = [input(0), node.inputs[1]?.contents];
    if (from === undefined || node.inputs[0]?.shape?.length !== 1) return undefined;
    return complete(indices?.map((index) => (isStatic(index) ? from.at(index) : undefined)));
  },
  Add: binary(numbers((a, b) => a + b)),
  Sub: binary(numbers((a, b) => a - b)),
  Mul: binary((a, b) => {
    if (typeof a === 'number') return typeof b === 'number' ? a * b : scaled(b, a);
    return typeof b === 'number' ? scaled(a, b) : undefined;
  }),
  Div: binary((a, b) => {
    if (typeof b !== 'number' || b === 0) return undefined;
    if (typeof a === 'number') return a / b;
    return Number.isSafeInteger(b) && b > 0 ? { dim: a.dim, over: a.over * b } : scaled(a, 1 / b);
  }),
  Pow: binary(numbers((a, b) => a ** b)),
  Min: binary(numbers(Math.min)),
  Max: binary(numbers(Math.max)),
  Neg: unary((x) => (typeof x === 'number' ? -x : { dim: negateDim(x.dim), over: x.over })),
  Sqrt: unary((x) => (typeof x === 'number' ? Math.sqrt(x) : undefined)),
  Reciprocal: unary((x) => (typeof x === 'number' ? 1 / x : undefined)),
  Floor: unary((x) => asReal(roundedDown(x))),
  Ceil: unary((x) => asReal(roundedUp(x))),
  // Halves go to the even neighbour.
  Round: unary((x) => {
    if (typeof x !== 'number') return x.over === 1 ? x : undefined;
    const below = Math.floor(x);
    if (x - below !== 0.5) return Math.round(x);
    return below % 2 === 0 ? below : below + 1;
  }),
};
