import {
  beyondBounds,
  collect,
  gcd,
  isStatic,
  onlyAtom,
  opaque,
  removeAtoms,
  sumOf,
  term,
  termsOf,
  type Dim,
  type OpaqueKind,
  type SymbolicDim,
  type Term,
} from './polynomial.js';

export { hasUnknown, isStatic, symbol, SymbolicDim, unknown, type Dim } from './polynomial.js';

/** Terms that a product may have before like ones are collected. */
const MAX_PRODUCT_TERMS = 512;

/** Bounds the work of {@link divideExactly} on pairs that do not divide. */
const MAX_QUOTIENT_TERMS = 64;

/** The name, when the dimension is one plain named symbol. */
export function symbolName(dim: Dim): string | undefined {
  const atom = onlyAtom(dim);
  return atom?.kind === 'symbol' ? atom.name : undefined;
}

/** Whether two dimensions are the same for every value of the symbols. */
export function equalDims(a: Dim, b: Dim): boolean {
  return a === b;
}

/** Whether two dimensions are different for every value of the symbols. */
export function differentDims(a: Dim, b: Dim): boolean {
  if (a === b) return false;
  const difference = subtractDims(a, b);
  if (isStatic(difference)) return difference !== 0;
  return lowerBound(difference) > 0 || lowerBound(negateDim(difference)) > 0;
}

/** Whether `a >= b` is certain. */
export function isAtLeast(a: Dim, b: Dim): boolean {
  return lowerBound(subtractDims(a, b)) >= 0;
}

/** The largest number that is certainly not above `dim`. */
export function lowerBound(dim: Dim): number {
  if (isStatic(dim)) return dim;
  let bound = 0;
  for (const { coefficient, atoms } of dim.terms) {
    if (atoms.length > 0 && (coefficient < 0 || atoms.some(({ least }) => least < 0))) return -Infinity;
    bound += atoms.reduce((product, { least }) => product * least, coefficient);
  }
  return bound;
}

export function addDims(a: Dim, b: Dim): Dim {
  if (isStatic(a) && isStatic(b)) return exact(a + b, a, b);
  return collect([...termsOf(a), ...termsOf(b)], () => lowerBound(a) + lowerBound(b));
}

export function negateDim(a: Dim): Dim {
  return multiplyDims(-1, a);
}

export function subtractDims(a: Dim, b: Dim): Dim {
  return addDims(a, negateDim(b));
}

export function multiplyDims(a: Dim, b: Dim): Dim {
  if (isStatic(a) && isStatic(b)) return a * b === 0 ? 0 : exact(a * b, a, b);
  if (a === 1) return b;
  if (b === 1) return a;
  const [left, right] = [termsOf(a), termsOf(b)];
  const least = () => (lowerBound(a) >= 0 && lowerBound(b) >= 0 ? lowerBound(a) * lowerBound(b) : -Infinity);
  if (left.length * right.length > MAX_PRODUCT_TERMS) return beyondBounds(least());
  return collect(
    left.flatMap((x) => right.map((y) => term(x.coefficient * y.coefficient, [...x.atoms, ...y.atoms]))),
    least,
  );
}

/** The product of all dimensions: the number of elements of a shape. */
export function productOfDims(dims: readonly Dim[]): Dim {
  // Numbers first: each product of polynomials is brought to its canonical form.
  const numbers = dims.filter(isStatic).reduce(multiplyDims, 1);
  return dims.filter((dim) => !isStatic(dim)).reduce(multiplyDims, numbers);
}

/** ⌊a / b⌋ for b > 0. Exact polynomial quotients are found; what cannot be divided stays one opaque term. */
export function floorDivideDims(a: Dim, b: Dim): Dim {
  if (isStatic(a) && isStatic(b)) return Math.floor(a / b);
  if (b === 1) return a;
  const quotient = divideExactly(a, b);
  if (quotient !== undefined) return quotient;
  if (!isStatic(b)) return floorTerm(a, b);
  // floor((b·q + r) / b) = q + floor(r / b), with every coefficient of r in [0, b).
  const wholes: Term[] = [];
  const rests: Term[] = [];
  for (const { coefficient, atoms } of termsOf(a)) {
    const whole = Math.floor(coefficient / b);
    wholes.push(term(whole, atoms));
    rests.push(term(coefficient - whole * b, atoms));
  }
  const open = () => -Infinity;
  const [whole, rest] = [collect(wholes, open), collect(rests, open)];
  return addDims(whole, isStatic(rest) ? Math.floor(rest / b) : floorOfRest(rest, b));
}

/** ⌈a / b⌉ for b > 0. */
export function ceilDivideDims(a: Dim, b: Dim): Dim {
  return floorDivideDims(addDims(a, subtractDims(b, 1)), b);
}

/** The quotient when `a = q · b` as polynomials, undefined otherwise. */
export function divideExactly(a: Dim, b: Dim): Dim | undefined {
  if (b === 0) return undefined;
  // Long division by the leading term: in a monomial order it ends with no rest exactly when `b` divides `a`.
  const divisor = termsOf(b);
  const [lead] = divisor;
  let rest = termsOf(a);
  const quotient: Term[] = [];
  while (rest.length > 0) {
    const [first] = rest;
    const coefficient = first.coefficient / lead.coefficient;
    const left = removeAtoms(first.atoms, lead.atoms);
    if (left === undefined || !Number.isInteger(coefficient) || quotient.length === MAX_QUOTIENT_TERMS)
      return undefined;
    quotient.push(term(coefficient, left));
    rest = sumOf([...rest, ...divisor.map((each) => term(-coefficient * each.coefficient, [...left, ...each.atoms]))]);
    if (rest.length > MAX_PRODUCT_TERMS) return undefined;
  }
  return collect(quotient, () => -Infinity);
}

export function minDims(a: Dim, b: Dim): Dim {
  const args = withoutImplied(argumentsOf('min', a, b), (x, y) => isAtLeast(x, y));
  return opaque('min', args, Math.min(...args.map(lowerBound)));
}

export function maxDims(a: Dim, b: Dim): Dim {
  const args = withoutImplied(argumentsOf('max', a, b), (x, y) => isAtLeast(y, x));
  return opaque('max', args, Math.max(...args.map(lowerBound)));
}

/** The dimension that two broadcast dimensions give, or undefined when they cannot be broadcast together. */
export function broadcastDims(a: Dim, b: Dim): Dim | undefined {
  if (equalDims(a, b) || b === 1) return a;
  if (a === 1) return b;
  const [aFixed, bFixed] = [isNotOne(a), isNotOne(b)];
  if (aFixed && bFixed && differentDims(a, b)) return undefined;
  // Where one side is certainly not 1, the other is 1 or the same.
  if (isStatic(a) && aFixed) return a;
  if (isStatic(b) && bFixed) return b;
  const args = argumentsOf('broadcast', a, b);
  const bounds = args.map(lowerBound);
  // Where none is 0, the result is the largest.
  return opaque('broadcast', args, bounds.every((bound) => bound >= 1) ? Math.max(...bounds) : Math.min(...bounds));
}

/** Whether a dimension certainly does not broadcast: it is 0, or at least 2. */
export function isNotOne(dim: Dim): boolean {
  return dim === 0 || isAtLeast(dim, 2);
}

function floorTerm(a: Dim, b: Dim): Dim {
  const [numerator, denominator] = [lowerBound(a), lowerBound(b)];
  const known = numerator >= 0 && denominator >= 1;
  const least = known ? (isStatic(b) ? Math.floor(numerator / b) : 0) : -Infinity;
  return opaque('floor', [a, b], least);
}

/** ⌊rest / b⌋ where the coefficients of `rest` are in [0, b). */
function floorOfRest(rest: SymbolicDim, b: number): Dim {
  const constant = constantOf(rest);
  const variable = subtractDims(rest, constant);
  // ⌊(g·x + c) / (g·d)⌋ = ⌊(x + ⌊c / g⌋) / d⌋
  const common = termsOf(variable).reduce((divisor, { coefficient }) => gcd(divisor, coefficient), b);
  if (common > 1) {
    return floorDivideDims(addDims(divideExactly(variable, common) ?? 0, Math.floor(constant / common)), b / common);
  }
  // ⌊(⌊x / d⌋ + c) / b⌋ = ⌊(x + c·d) / (d·b)⌋: strided convolutions, one after the other.
  const inner = onlyAtom(variable);
  const divisor = inner?.kind === 'floor' ? inner.args[1] : undefined;
  if (inner !== undefined && divisor !== undefined && isStatic(divisor) && Number.isSafeInteger(divisor * b)) {
    return floorDivideDims(addDims(inner.args[0], constant * divisor), divisor * b);
  }
  return floorTerm(rest, b);
}

function constantOf({ terms }: SymbolicDim): number {
  const last = terms[terms.length - 1];
  return last.atoms.length === 0 ? last.coefficient : 0;
}

/** The arguments of an operation that does not ask for order, grouping or repetition. */
function argumentsOf(kind: OpaqueKind, a: Dim, b: Dim): readonly Dim[] {
  const args = [a, b].flatMap((dim): readonly Dim[] => {
    const atom = onlyAtom(dim);
    return atom?.kind === kind ? atom.args : [dim];
  });
  return [...new Set(args)].sort((x, y) => orderOf(x) - orderOf(y));
}

/** Numbers first. */
function orderOf(dim: Dim): number {
  return isStatic(dim) ? -1 : dim.id;
}

/** The arguments without those that another one makes superfluous. */
function withoutImplied(args: readonly Dim[], isImplied: (arg: Dim, by: Dim) => boolean): readonly Dim[] {
  const kept: Dim[] = [];
  for (const arg of args) {
    if (kept.some((other) => isImplied(arg, other))) continue;
    const left = kept.filter((other) => !isImplied(other, arg));
    kept.splice(0, kept.length, ...left, arg);
  }
  return kept;
}

/** Beyond 2^53 numbers are no exact integers, and int64 wraps; INT64_MAX and the like, "to the end", stay what they are. */
function exact(result: number, a: number, b: number): Dim {
  if (Number.isSafeInteger(result) || !Number.isSafeInteger(a) || !Number.isSafeInteger(b)) return result;
  return beyondBounds(-Infinity);
}
