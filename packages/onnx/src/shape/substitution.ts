import {
  addDims,
  broadcastDims,
  floorDivideDims,
  lowerBound,
  maxDims,
  minDims,
  multiplyDims,
  subtractDims,
} from './dim.js';
import {
  collect,
  gcd,
  isStatic,
  ofAtom,
  removeAtoms,
  term,
  type Atom,
  type Dim,
  type OpaqueKind,
} from './polynomial.js';

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
  if (kind === 'unknown') return undefined;
  const values: number[] = [];
  for (const arg of args) {
    const value = evaluateDim(arg, symbols);
    if (value === undefined) return undefined;
    values.push(value);
  }
  return applied(kind, values);
}

function applied(kind: OpaqueKind, values: readonly number[]): number {
  switch (kind) {
    case 'floor':
      return Math.floor(values[0] / values[1]);
    case 'min':
      return Math.min(...values);
    case 'max':
      return Math.max(...values);
    case 'broadcast':
      return values.find((value) => value !== 1) ?? 1;
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
