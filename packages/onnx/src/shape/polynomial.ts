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

/** A dimension that is not a plain number. Build one with {@link symbol} and the arithmetic of dimensions. */
export class SymbolicDim {
  /** Of higher degree first, the constant last: a monomial order. */
  readonly terms: readonly Term[];
  readonly id: number;
  readonly size: number;
  /** Whether it depends on anything without a name. */
  readonly isOpen: boolean;
  #text: string | undefined;

  /** Internal: use the functions of this folder, which keep the canonical form. */
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

export interface Term {
  readonly key: string;
  readonly coefficient: number;
  /** Sorted by id; a power is a repetition. */
  readonly atoms: readonly Atom[];
}

/** What a polynomial is made of. Equal atoms are one object. */
export interface Atom {
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

/** Operations whose results stand in a polynomial as one atom. */
export type OpaqueKind = 'floor' | 'min' | 'max' | 'broadcast';

type AtomKind = 'symbol' | 'unknown' | OpaqueKind;

/** Of a canonical form, everything that it is made of counted as often as it occurs. Convolutions nest floors ten deep. */
const MAX_SIZE = 1024;

/** Arguments of one minimum, maximum or broadcast. */
const MAX_ARGUMENTS = 32;

/**
 * A table that gives one object to equal contents, so that equality of contents is identity of objects. It keeps nothing
 * alive: an entry goes with its object.
 */
class Interned<T extends object> {
  readonly #entries = new Map<string, WeakRef<T>>();
  readonly #registry = new FinalizationRegistry<string>((key) => {
    // Another object may have been made for the same contents since.
    if (this.#entries.get(key)?.deref() === undefined) this.#entries.delete(key);
  });

  /** The object of that key; made when there is none. */
  get(key: string, make: () => T): T {
    const known = this.#entries.get(key)?.deref();
    if (known !== undefined) return known;
    const made = make();
    this.#entries.set(key, new WeakRef(made));
    this.#registry.register(made, key);
    return made;
  }
}

const forms = new Interned<SymbolicDim>();
const atoms = new Interned<Atom>();
let nextId = 0;
let lost = 0;

export function isStatic(dim: Dim): dim is number {
  return typeof dim === 'number';
}

/** Whether the dimension depends on anything without a name. */
export function hasUnknown(dim: Dim): boolean {
  return !isStatic(dim) && dim.isOpen;
}

/** A named free dimension, such as `batch`. The same name is the same dimension. */
export function symbol(name: string): SymbolicDim {
  return ofAtom(atomOf('symbol', name, [], 1));
}

/** A quantity nothing is known about except its lower bound; `id` must be unique in the graph. */
export function unknown(id: number, least: number): SymbolicDim {
  return ofAtom(atomOf('unknown', `?${id}`, [], least));
}

/** What stands for a form that is too large. */
export function beyondBounds(least: number): SymbolicDim {
  return ofAtom(atomOf('unknown', `?too large ${lost++}`, [], Number.isNaN(least) ? -Infinity : least));
}

/** An operation whose result is one atom. One argument that is left of a minimum, maximum or broadcast is the result. */
export function opaque(kind: OpaqueKind, args: readonly Dim[], least: number): Dim {
  if (args.length === 1) return args[0];
  const size = args.reduce<number>((sum, arg) => sum + sizeOf(arg), 0);
  if (args.length > MAX_ARGUMENTS || size > MAX_SIZE) return beyondBounds(least);
  return ofAtom(atomOf(kind, '', args, least));
}

export function ofAtom(atom: Atom): SymbolicDim {
  return formOf([term(1, [atom])], 1 + atom.size);
}

/** The atom that a dimension is, and nothing else. */
export function onlyAtom(dim: Dim): Atom | undefined {
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

export function term(coefficient: number, atoms: readonly Atom[]): Term {
  const sorted = [...atoms].sort((a, b) => a.id - b.id);
  return { coefficient, atoms: sorted, key: sorted.map(({ id }) => id).join('*') };
}

export function termsOf(dim: Dim): readonly Term[] {
  if (!isStatic(dim)) return dim.terms;
  return dim === 0 ? [] : [term(dim, [])];
}

/**
 * The sum of terms in its canonical form.
 *
 * @param least its lower bound, for a sum that is too large or has coefficients that are no exact integers
 */
export function collect(terms: readonly Term[], least: () => number): Dim {
  const kept = sumOf(terms);
  if (kept.length === 0) return 0;
  if (kept.length === 1 && kept[0].atoms.length === 0) return kept[0].coefficient;
  const size = kept.reduce((sum, { atoms }) => atoms.reduce((part, atom) => part + atom.size, sum + 1), 0);
  const isExact = kept.every(({ coefficient }) => Number.isSafeInteger(coefficient));
  return size > MAX_SIZE || !isExact ? beyondBounds(least()) : formOf(kept, size);
}

/** Adds up equal monomials, drops zeros and orders by degree, then lexicographically: a monomial order. */
export function sumOf(terms: readonly Term[]): readonly Term[] {
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

function formOf(terms: readonly Term[], size: number): SymbolicDim {
  const key = terms.map((each) => `${each.coefficient}:${each.key}`).join('+');
  return forms.get(key, () => new SymbolicDim(terms, size));
}

/** `from` without the atoms of `remove`, or undefined when one is not there. */
export function removeAtoms(from: readonly Atom[], remove: readonly Atom[]): readonly Atom[] | undefined {
  const rest = [...from];
  for (const atom of remove) {
    const index = rest.indexOf(atom);
    if (index < 0) return undefined;
    rest.splice(index, 1);
  }
  return rest;
}

export function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b);
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
