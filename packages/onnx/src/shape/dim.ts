/**
 * Symbolic dimensions. A `Dim` is a number, or a polynomial with integer coefficients over named symbols and a few
 * opaque terms (floor division, minimum, maximum, broadcast). Every `Dim` is kept in one canonical form, so that two
 * expressions are equal exactly when their keys are: `4·batch + batch` and `5·batch` are the same dimension.
 *
 * Named symbols are taken to be at least 1: a dimension is free, but a run with an empty batch is not planned for.
 */

export type Dim = number | SymbolicDim;

type AtomKind = 'symbol' | 'unknown' | 'floor' | 'min' | 'max' | 'broadcast';

/** What a polynomial is made of. */
interface Atom {
  readonly kind: AtomKind;
  /** Canonical text; equal keys mean equal atoms. */
  readonly key: string;
  readonly name?: string;
  readonly args: readonly Dim[];
  /** Proven lower bound. */
  readonly least: number;
}

interface Term {
  readonly key: string;
  readonly coefficient: number;
  /** Sorted by key; a power is a repetition. */
  readonly atoms: readonly Atom[];
}

/** A dimension that is not a plain number. Build one with {@link symbol} and the arithmetic below. */
export class SymbolicDim {
  readonly terms: readonly Term[];
  /** Canonical text, e.g. `2*batch + floor(height / 2) + 1`. */
  readonly key: string;

  /** Internal: use the functions of this module, which keep the canonical form. */
  constructor(terms: readonly Term[]) {
    this.terms = terms;
    this.key = terms.map(printTerm).join(' + ').replaceAll('+ -', '- ');
  }

  toString(): string {
    return this.key;
  }
}

function printTerm({ key, coefficient }: Term): string {
  if (key === '') return String(coefficient);
  if (coefficient === 1) return key;
  return coefficient === -1 ? `-${key}` : `${coefficient}*${key}`;
}

/** A named free dimension, such as `batch`. The same name is the same dimension. */
export function symbol(name: string): SymbolicDim {
  const key = /^[\p{L}_][\p{L}\p{N}_.:/-]*$/u.test(name) ? name : JSON.stringify(name);
  return ofAtom({ kind: 'symbol', key, name, args: [], least: 1 });
}

/** A quantity nothing is known about except its lower bound; `id` must be unique in the graph. */
export function unknown(id: number, least: number): SymbolicDim {
  return ofAtom({ kind: 'unknown', key: `?${id}`, args: [], least });
}

export function isStatic(dim: Dim): dim is number {
  return typeof dim === 'number';
}

/** The name, when the dimension is one plain named symbol. */
export function symbolName(dim: Dim): string | undefined {
  if (isStatic(dim) || dim.terms.length !== 1) return undefined;
  const { coefficient, atoms } = dim.terms[0];
  return coefficient === 1 && atoms.length === 1 && atoms[0].kind === 'symbol' ? atoms[0].name : undefined;
}

/** Whether the dimension depends on anything without a name. */
export function hasUnknown(dim: Dim): boolean {
  if (isStatic(dim)) return false;
  return dim.terms.some(({ atoms }) => atoms.some((atom) => atom.kind === 'unknown' || atom.args.some(hasUnknown)));
}

/** Whether two dimensions are the same for every value of the symbols. */
export function equalDims(a: Dim, b: Dim): boolean {
  return isStatic(a) || isStatic(b) ? a === b : a.key === b.key;
}

/** Whether two dimensions are different for every value of the symbols. */
export function differentDims(a: Dim, b: Dim): boolean {
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
  return isStatic(a) && isStatic(b) ? a + b : collect([...termsOf(a), ...termsOf(b)]);
}

export function negateDim(a: Dim): Dim {
  return multiplyDims(-1, a);
}

export function subtractDims(a: Dim, b: Dim): Dim {
  return addDims(a, negateDim(b));
}

export function multiplyDims(a: Dim, b: Dim): Dim {
  if (isStatic(a) && isStatic(b)) return a * b === 0 ? 0 : a * b;
  const terms: Term[] = [];
  for (const x of termsOf(a)) {
    for (const y of termsOf(b)) terms.push(term(x.coefficient * y.coefficient, [...x.atoms, ...y.atoms]));
  }
  return collect(terms);
}

/** The product of all dimensions: the number of elements of a shape. */
export function productOfDims(dims: readonly Dim[]): Dim {
  return dims.reduce(multiplyDims, 1);
}

/** ⌊a / b⌋ for b > 0. Exact polynomial quotients are found; what cannot be divided stays one opaque term. */
export function floorDivideDims(a: Dim, b: Dim): Dim {
  if (isStatic(a) && isStatic(b)) return Math.floor(a / b);
  if (b === 1) return a;
  const exact = divideExactly(a, b);
  if (exact !== undefined) return exact;
  if (!isStatic(b)) return floorTerm(a, b);
  // floor((b·q + r) / b) = q + floor(r / b), with every coefficient of r in [0, b).
  const quotient: Term[] = [];
  const rest: Term[] = [];
  for (const { coefficient, atoms } of termsOf(a)) {
    const whole = Math.floor(coefficient / b);
    quotient.push(term(whole, atoms));
    rest.push(term(coefficient - whole * b, atoms));
  }
  const remainder = collect(rest);
  return addDims(collect(quotient), isStatic(remainder) ? Math.floor(remainder / b) : floorTerm(remainder, b));
}

/** ⌈a / b⌉ for b > 0. */
export function ceilDivideDims(a: Dim, b: Dim): Dim {
  return floorDivideDims(addDims(a, subtractDims(b, 1)), b);
}

/** The quotient when `a = q · b` as polynomials, undefined otherwise. */
export function divideExactly(a: Dim, b: Dim): Dim | undefined {
  if (b === 0) return undefined;
  // Long division by the leading term, in the order of `collect`.
  const [lead] = termsOf(b);
  let rest = a;
  const quotient: Term[] = [];
  while (rest !== 0) {
    const [first] = termsOf(rest);
    const coefficient = first.coefficient / lead.coefficient;
    const atoms = removeAtoms(first.atoms, lead.atoms);
    if (atoms === undefined || !Number.isInteger(coefficient)) return undefined;
    const step = term(coefficient, atoms);
    quotient.push(step);
    const next = subtractDims(rest, multiplyDims(collect([step]), b));
    // A leading term that does not vanish means the order is no monomial order for these two; give up.
    if (next !== 0 && termsOf(next)[0].key === first.key) return undefined;
    if (quotient.length > MAX_QUOTIENT_TERMS) return undefined;
    rest = next;
  }
  return collect(quotient);
}

/** Bounds the work of {@link divideExactly} on pairs that do not divide. */
const MAX_QUOTIENT_TERMS = 64;

export function minDims(a: Dim, b: Dim): Dim {
  if (isAtLeast(a, b)) return b;
  if (isAtLeast(b, a)) return a;
  return opaque('min', a, b, Math.min(lowerBound(a), lowerBound(b)));
}

export function maxDims(a: Dim, b: Dim): Dim {
  if (isAtLeast(a, b)) return a;
  if (isAtLeast(b, a)) return b;
  return opaque('max', a, b, Math.max(lowerBound(a), lowerBound(b)));
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
  return opaque('broadcast', a, b, Math.min(lowerBound(a), lowerBound(b)));
}

/** Whether a dimension certainly does not broadcast: it is 0, or at least 2. */
export function isNotOne(dim: Dim): boolean {
  return dim === 0 || isAtLeast(dim, 2);
}

/** The value of a dimension for given symbols; undefined when a symbol is missing. */
export function evaluateDim(dim: Dim, symbols: ReadonlyMap<string, number>): number | undefined {
  if (isStatic(dim)) return dim;
  let sum = 0;
  for (const { coefficient, atoms } of dim.terms) {
    let product = coefficient;
    for (const atom of atoms) {
      const value = evaluateAtom(atom, symbols);
      if (value === undefined) return undefined;
      product *= value;
    }
    sum += product;
  }
  return sum;
}

function evaluateAtom(atom: Atom, symbols: ReadonlyMap<string, number>): number | undefined {
  if (atom.kind === 'unknown') return undefined;
  if (atom.kind === 'symbol') return symbols.get(atom.name ?? '');
  const [a, b] = atom.args.map((arg) => evaluateDim(arg, symbols));
  if (a === undefined || b === undefined) return undefined;
  switch (atom.kind) {
    case 'floor':
      return Math.floor(a / b);
    case 'min':
      return Math.min(a, b);
    case 'max':
      return Math.max(a, b);
    case 'broadcast':
      return a === 1 ? b : a;
  }
}

function ofAtom(atom: Atom): SymbolicDim {
  return new SymbolicDim([term(1, [atom])]);
}

function floorTerm(a: Dim, b: Dim): Dim {
  const [numerator, denominator] = [lowerBound(a), lowerBound(b)];
  const known = numerator >= 0 && denominator >= 1;
  const least = known ? (isStatic(b) ? Math.floor(numerator / b) : 0) : -Infinity;
  return ofAtom({ kind: 'floor', key: `floor(${group(a)} / ${group(b)})`, args: [a, b], least });
}

function opaque(kind: 'min' | 'max' | 'broadcast', a: Dim, b: Dim, least: number): Dim {
  const args = String(a) < String(b) ? [a, b] : [b, a];
  return ofAtom({ kind, key: `${kind}(${args.join(', ')})`, args, least });
}

function group(dim: Dim): string {
  const text = String(dim);
  return text.includes(' ') && !isStatic(dim) && dim.terms.length > 1 ? `(${text})` : text;
}

function term(coefficient: number, atoms: readonly Atom[]): Term {
  const sorted = [...atoms].sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
  return { coefficient, atoms: sorted, key: sorted.map(({ key }) => key).join('*') };
}

function termsOf(dim: Dim): readonly Term[] {
  if (!isStatic(dim)) return dim.terms;
  return dim === 0 ? [] : [term(dim, [])];
}

/** Adds up equal monomials, drops zeros and orders: higher degree first, then by key, the constant last. */
function collect(terms: readonly Term[]): Dim {
  const sums = new Map<string, Term>();
  for (const { key, coefficient, atoms } of terms) {
    sums.set(key, { key, atoms, coefficient: coefficient + (sums.get(key)?.coefficient ?? 0) });
  }
  const kept = [...sums.values()].filter(({ coefficient }) => coefficient !== 0);
  if (kept.length === 0) return 0;
  if (kept.length === 1 && kept[0].atoms.length === 0) return kept[0].coefficient;
  kept.sort((a, b) => b.atoms.length - a.atoms.length || (a.key < b.key ? -1 : 1));
  return new SymbolicDim(kept);
}

/** `from` without the atoms of `remove`, or undefined when one is not there. */
function removeAtoms(from: readonly Atom[], remove: readonly Atom[]): readonly Atom[] | undefined {
  const rest = [...from];
  for (const { key } of remove) {
    const index = rest.findIndex((atom) => atom.key === key);
    if (index < 0) return undefined;
    rest.splice(index, 1);
  }
  return rest;
}
