import { isStatic, type Dim } from './dim.js';
import type { Shape } from './shape.js';
import { solveDims, substituteDims } from './substitution.js';

/** More than models have; what is known beyond that is left out, which costs precision only. */
const MAX_EQUALITIES = 1000;

/**
 * What a graph forces to be equal: the two batch sizes of a sequence and its first state, say, which an exporter names
 * apart. Everything of which a form is asked for has one name for them.
 */
export class Equalities {
  readonly #values = new Map<Dim, Dim>();
  #resolved = new WeakMap<object, Dim>();

  /** Changes with everything learnt. */
  get count(): number {
    return this.#values.size;
  }

  /** Learns that two dimensions are equal, which they must not certainly not be. */
  add(a: Dim, b: Dim): void {
    if (a === b || this.#values.size >= MAX_EQUALITIES) return;
    const solution = solveDims(this.resolve(a), this.resolve(b));
    if (solution === undefined) return;
    this.#values.set(...solution);
    this.#resolved = new WeakMap();
  }

  /** A dimension in terms of what is left free. */
  resolve(dim: Dim): Dim {
    if (isStatic(dim) || this.#values.size === 0) return dim;
    const known = this.#resolved.get(dim);
    if (known !== undefined) return known;
    let [before, after]: [Dim, Dim] = [dim, this.#substitute(dim)];
    // What stands for one may have been found to be something else since.
    while (after !== before) [before, after] = [after, this.#substitute(after)];
    this.#resolved.set(dim, after);
    return after;
  }

  resolveAll(dims: Shape): Shape {
    return dims.every((dim) => this.resolve(dim) === dim) ? dims : dims.map((dim) => this.resolve(dim));
  }

  #substitute(dim: Dim): Dim {
    return substituteDims(dim, (free) => this.#values.get(free));
  }
}
