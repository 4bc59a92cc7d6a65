import { Interned } from './interned.js';

/**
 * Symbolic dimensions. A `Dim` is a number, or a polynomial with integer coefficients over named symbols and a few
 * opaque terms (floor division, minimum, maximum, broadcast). Every `Dim` has one canonical form, and equal forms are one
 * object: `4·batch + batch` and `5·batch` are the same dimension.
 *
 * The size of a form is bounded. What grows beyond the bound, as repeated squares and remainders do, becomes a dimension
 * of which nothing is known but its lower bound; arithmetic therefore takes constant time.
 *
 * Named symbols are taken to be at least 1: a dimension is free, but a run with an empty batch is not planned for.
 */

export type Dim = number | SymbolicDim;

type AtomKind = 'symbol' | 'unknown' | 'floor' | 'min' | 'max' | 'broadcast';

/** What a polynomial is made of. Equal atoms are one object. */
interface Atom {
  readonly kind: AtomKind;
  /** Orders atoms; unique. */
  readonly id: number;
  readonly name: string;
  /** Numerator and denominator of a floor division; else the arguments in the order of their ids, none twice. */
  readonly args: readonly Dim[];
  /** Proven lower bound. */
  readonly least: number;
  /** Number of atoms and coefficients it is written with. */
  readonly size: number;
  readonly isOpen: boolean;
}

interface Term {
  readonly key: string;
  readonly coefficient: number;
  /** Sorted by id; a power is a repetition. */
  readonly atoms: readonly Atom[];
}

/** Of a canonical form, everything that it is made of counted as often as it occurs. Convolutions nest floors ten deep. */
const MAX_SIZE = 1024;

/** Terms that a product may have before like ones are collected. */
const MAX_PRODUCT_TERMS = 512;

/** Bounds the work of {@link divideExactly} on pairs that do not divide. */
const MAX_QUOTIENT_TERMS = 64;

/** Arguments of one minimum, maximum or broadcast. */
const MAX_ARGUMENTS = 32;

/** A dimension that is not a plain number. Build one with {@link symbol} and the arithmetic below. */
export class SymbolicDim {
  /** Of higher degree first, the constant last: a monomial order. */
  readonly terms: readonly Term[];
  readonly id: number;
  readonly size: number;
  /** Whether it depends on anything without a name. */
  readonly isOpen: boolean;
  #text: string | undefined;

  /** Internal: use the functions of this module, which keep the canonical form. */
  constructor(terms: readonly Term[], size: number) {
    this.terms = terms;
    this.size = size;
    this.id = nextId++;
    this.isOpen = terms.some(({ atoms }) => atoms.some(({ isOpen }) => isOpen));
  }

  /** Canonical text, e.g. `2*batch + floor(height / 2) + 1`. */
  toString(): string {
    this.#text ??= print(this.terms);
    return this.#text;
  }
}

const forms = new Interned<SymbolicDim>();
const atoms = new Interned<Atom>();
let nextId = 0;
let lost = 0;

/** A named free dimension, such as `batch`. The same name is the same dimension. */
export function symbol(name: string): SymbolicDim {
  return ofAtom(atomOf('symbol', name, [], 1));
}

/** A quantity nothing is known about except its lower bound; `id` must be unique in the graph. */
export function unknown(id: number, least: number): SymbolicDim {
  return ofAtom(atomOf('unknown', `?${id}`, [], least));
}

/** What stands for a form that is too large. */
function beyondBounds(least: number): SymbolicDim {
  return ofAtom(atomOf('unknown', `?too large ${lost++}`, [], Number.isNaN(least) ? -Infinity : least));
}

export function isStatic(dim: Dim): dim is number {
  return typeof dim === 'number';
}

/** The name, when the dimension is one plain named symbol. */
export function symbolName(dim: Dim): string | undefined {
  const atom = onlyAtom(dim);
  return atom?.kind === 'symbol' ? atom.name : undefined;
}

/** Whether the dimension depends on anything without a name. */
export function hasUnknown(dim: Dim): boolean {
  return !isStatic(dim) && dim.isOpen;
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
  return dims.reduce(multiplyDims, 1);
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

/** The value of a dimension for given symbols; undefined when a symbol is missing. */
export function evaluateDim(dim: Dim, symbols: ReadonlyMap<string, number>): number | undefined {
  if (isStatic(dim)) return dim;
  if (dim.isOpen) return undefined;
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

function evaluateAtom({ kind, name, args }: Atom, symbols: ReadonlyMap<string, number>): number | undefined {
  if (kind === 'symbol') return symbols.get(name);
  const values: number[] = [];
  for (const arg of args) {
    const value = evaluateDim(arg, symbols);
    if (value === undefined) return undefined;
    values.push(value);
  }
  return applied(kind, values);
}

function applied(kind: AtomKind, values: readonly number[]): number | undefined {
  switch (kind) {
    case 'floor':
      return Math.floor(values[0] / values[1]);
    case 'min':
      return Math.min(...values);
    case 'max':
      return Math.max(...values);
    case 'broadcast':
      return values.find((value) => value !== 1) ?? 1;
    default:
      return undefined;
  }
}

/**
 * A dimension with other ones in place of free dimensions and unknown quantities.
 *
 * @param replacement what stands for a dimension that is one symbol or one unknown quantity; undefined leaves it
 */
export function substituteDims(dim: Dim, replacement: (free: Dim) => Dim | undefined): Dim {
  if (isStatic(dim)) return dim;
  const replaced = new Map<Atom, Dim>();
  for (const { atoms } of dim.terms) {
    for (const atom of atoms) {
      const value = substituteAtom(atom, replacement);
      if (value !== undefined) replaced.set(atom, value);
    }
  }
  if (replaced.size === 0) return dim;
  return dim.terms.reduce<Dim>((sum, { coefficient, atoms }) => {
    const factors = atoms.map((atom) => replaced.get(atom) ?? ofAtom(atom));
    return addDims(sum, factors.reduce(multiplyDims, coefficient));
  }, 0);
}

function substituteAtom(atom: Atom, replacement: (free: Dim) => Dim | undefined): Dim | undefined {
  const { kind, args } = atom;
  if (kind === 'symbol' || kind === 'unknown') return replacement(ofAtom(atom));
  const replaced = args.map((arg) => substituteDims(arg, replacement));
  if (replaced.every((arg, i) => arg === args[i])) return undefined;
  switch (kind) {
    case 'floor':
      return floorDivideDims(replaced[0], replaced[1]);
    case 'min':
      return replaced.reduce(minDims);
    case 'max':
      return replaced.reduce(maxDims);
    case 'broadcast':
      // What does not broadcast is reported where it is computed.
      return replaced.reduce((a, b) => broadcastDims(a, b) ?? a);
  }
}

/**
 * The solution of `a = b` for one free dimension or unknown quantity, where the equation says what it is: as a pair of
 * that and of what it equals. Unknown quantities are solved for first, and free dimensions for one another only, those
 * of `b` for those of `a`.
 */
export function solveDims(a: Dim, b: Dim): readonly [free: Dim, value: Dim] | undefined {
  const difference = primitivePart(subtractDims(a, b));
  if (isStatic(difference)) return undefined;
  const linear = difference.terms.flatMap(({ coefficient, atoms }) => {
    const [atom] = atoms;
    return atoms.length === 1 && Math.abs(coefficient) === 1 ? [{ atom, coefficient }] : [];
  });
  for (const { atom, coefficient } of linear) {
    if (atom.kind !== 'unknown') continue;
    const free = ofAtom(atom);
    const value = multiplyDims(-coefficient, subtractDims(difference, multiplyDims(coefficient, free)));
    if (!occurs(atom, value) && lowerBound(value) >= atom.least) return [free, value];
  }
  const [one, other] = linear;
  const plain = difference.terms.length === 2 && linear.length === 2 && one.coefficient === -other.coefficient;
  if (!plain || one.atom.kind !== 'symbol' || other.atom.kind !== 'symbol') return undefined;
  const [x, y] = [ofAtom(one.atom), ofAtom(other.atom)];
  return occurs(one.atom, a) ? [y, x] : [x, y];
}

/** A difference that is zero exactly where `dim` is: without common factors, which are at least 1. */
function primitivePart(dim: Dim): Dim {
  if (isStatic(dim)) return dim;
  const divisor = dim.terms.reduce((common, { coefficient }) => gcd(common, Math.abs(coefficient)), 0);
  const [first, ...rest] = dim.terms;
  let common: readonly Atom[] = first.atoms.filter(({ least }) => least >= 1);
  for (const { atoms } of rest) {
    const left = [...atoms];
    common = common.filter((atom) => {
      const index = left.indexOf(atom);
      if (index >= 0) left.splice(index, 1);
      return index >= 0;
    });
  }
  return collect(
    dim.terms.map(({ coefficient, atoms }) => term(coefficient / divisor, removeAtoms(atoms, common) ?? atoms)),
    () => -Infinity,
  );
}

function occurs(atom: Atom, dim: Dim): boolean {
  if (isStatic(dim)) return false;
  return dim.terms.some(({ atoms }) =>
    atoms.some((each) => each === atom || each.args.some((arg) => occurs(atom, arg))),
  );
}

function ofAtom(atom: Atom): SymbolicDim {
  return formOf([term(1, [atom])], 1 + atom.size);
}

/** The atom that a dimension is, and nothing else. */
function onlyAtom(dim: Dim): Atom | undefined {
  if (isStatic(dim) || dim.terms.length !== 1) return undefined;
  const [{ coefficient, atoms }] = dim.terms;
  return coefficient === 1 && atoms.length === 1 ? atoms[0] : undefined;
}

function atomOf(kind: AtomKind, name: string, args: readonly Dim[], least: number): Atom {
  return atoms.get(`${kind} ${args.map(identity).join(',')} ${least} ${name}`, () => ({
    kind,
    id: nextId++,
    name,
    args,
    least,
    size: args.reduce<number>((sum, arg) => sum + sizeOf(arg), 1),
    isOpen: kind === 'unknown' || args.some(hasUnknown),
  }));
}

function identity(dim: Dim): string {
  return isStatic(dim) ? String(dim) : `#${dim.id}`;
}

function sizeOf(dim: Dim): number {
  return isStatic(dim) ? 1 : dim.size;
}

function floorTerm(a: Dim, b: Dim): Dim {
  const [numerator, denominator] = [lowerBound(a), lowerBound(b)];
  const known = numerator >= 0 && denominator >= 1;
  const least = known ? (isStatic(b) ? Math.floor(numerator / b) : 0) : -Infinity;
  if (sizeOf(a) + sizeOf(b) > MAX_SIZE) return beyondBounds(least);
  return ofAtom(atomOf('floor', '', [a, b], least));
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

function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b);
}

/** The arguments of an operation that does not ask for order, grouping or repetition. */
function argumentsOf(kind: AtomKind, a: Dim, b: Dim): readonly Dim[] {
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

function opaque(kind: 'min' | 'max' | 'broadcast', args: readonly Dim[], least: number): Dim {
  if (args.length === 1) return args[0];
  const size = args.reduce<number>((sum, arg) => sum + sizeOf(arg), 0);
  if (args.length > MAX_ARGUMENTS || size > MAX_SIZE) return beyondBounds(least);
  return ofAtom(atomOf(kind, '', args, least));
}

function term(coefficient: number, atoms: readonly Atom[]): Term {
  const sorted = [...atoms].sort((a, b) => a.id - b.id);
  return { coefficient, atoms: sorted, key: sorted.map(({ id }) => id).join('*') };
}

function termsOf(dim: Dim): readonly Term[] {
  if (!isStatic(dim)) return dim.terms;
  return dim === 0 ? [] : [term(dim, [])];
}

/** Adds up equal monomials, drops zeros and orders by degree, then lexicographically: a monomial order. */
function sumOf(terms: readonly Term[]): readonly Term[] {
  const sums = new Map<string, Term>();
  for (const each of terms) {
    const { key, coefficient, atoms } = each;
    const known = sums.get(key);
    sums.set(key, known === undefined ? each : { key, atoms, coefficient: coefficient + known.coefficient });
  }
  return [...sums.values()].filter(({ coefficient }) => coefficient !== 0).sort(compareTerms);
}

function compareTerms({ atoms: a }: Term, { atoms: b }: Term): number {
  if (a.length !== b.length) return b.length - a.length;
  const index = a.findIndex((atom, i) => atom !== b[i]);
  return index < 0 ? 0 : a[index].id - b[index].id;
}

/**
 * The sum of terms in its canonical form.
 *
 * @param least its lower bound, for a sum that is too large or has coefficients that are no exact integers
 */
function collect(terms: readonly Term[], least: () => number): Dim {
  const kept = sumOf(terms);
  if (kept.length === 0) return 0;
  if (kept.length === 1 && kept[0].atoms.length === 0) return kept[0].coefficient;
  const size = kept.reduce((sum, { atoms }) => atoms.reduce((part, atom) => part + atom.size, sum + 1), 0);
  const isExact = kept.every(({ coefficient }) => Number.isSafeInteger(coefficient));
  return size > MAX_SIZE || !isExact ? beyondBounds(least()) : formOf(kept, size);
}

function formOf(terms: readonly Term[], size: number): SymbolicDim {
  const key = terms.map((each) => `${each.coefficient}:${each.key}`).join('+');
  return forms.get(key, () => new SymbolicDim(terms, size));
}

/** Beyond 2^53 numbers are no exact integers, and int64 wraps; INT64_MAX and the like, "to the end", stay what they are. */
function exact(result: number, a: number, b: number): Dim {
  if (Number.isSafeInteger(result) || !Number.isSafeInteger(a) || !Number.isSafeInteger(b)) return result;
  return beyondBounds(-Infinity);
}

/** `from` without the atoms of `remove`, or undefined when one is not there. */
function removeAtoms(from: readonly Atom[], remove: readonly Atom[]): readonly Atom[] | undefined {
  const rest = [...from];
  for (const atom of remove) {
    const index = rest.indexOf(atom);
    if (index < 0) return undefined;
    rest.splice(index, 1);
  }
  return rest;
}

/** Text does not depend on the order in which atoms came into being. */
function print(terms: readonly Term[]): string {
  const printed = terms.map(({ coefficient, atoms }) => ({
    degree: atoms.length,
    coefficient,
    text: atoms.map(printAtom).sort().join('*'),
  }));
  printed.sort((a, b) => b.degree - a.degree || (a.text < b.text ? -1 : 1));
  return printed
    .map(({ coefficient, text }) => {
      if (text === '') return String(coefficient);
      if (coefficient === 1) return text;
      return coefficient === -1 ? `-${text}` : `${coefficient}*${text}`;
    })
    .join(' + ')
    .replaceAll('+ -', '- ');
}

/** Names that are no identifiers are quoted, so that they cannot be confused with expressions. */
function printAtom({ kind, name, args }: Atom): string {
  switch (kind) {
    case 'symbol':
      return /^[\p{L}_][\p{L}\p{N}_.:/-]*$/u.test(name) ? name : JSON.stringify(name);
    case 'unknown':
      return name.split(' ', 1)[0];
    case 'floor':
      return `floor(${args.map(group).join(' / ')})`;
    default:
      return `${kind}(${args.map(String).sort().join(', ')})`;
  }
}

function group(dim: Dim): string {
  return !isStatic(dim) && dim.terms.length > 1 ? `(${String(dim)})` : String(dim);
}
