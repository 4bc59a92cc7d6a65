/** An elementwise operation. */
export interface Operation {
  /** Its meaning, in float64; it has a parameter for each operand. */
  readonly evaluate: (a: number, b: number, c: number) => number;
  readonly comparison?: true;
  /** Only for scalars: schedules and counters need it, devices do not have it. */
  readonly hostOnly?: true;
}

/**
 * The elementwise operations of the rule language, as data. Every backend covers exactly this table.
 *
 * `evaluate` is the meaning on real numbers in float64; a float32 backend rounds each result to float32.
 * Comparisons yield 1 for true and 0 for false.
 */
export const operations = {
  add: { evaluate: (a, b) => a + b },
  sub: { evaluate: (a, b) => a - b },
  mul: { evaluate: (a, b) => a * b },
  div: { evaluate: (a, b) => a / b },
  pow: { evaluate: Math.pow },
  min: { evaluate: (a, b) => Math.min(a, b) },
  max: { evaluate: (a, b) => Math.max(a, b) },
  neg: { evaluate: (a) => -a },
  abs: { evaluate: Math.abs },
  sign: { evaluate: Math.sign },
  square: { evaluate: (a) => a * a },
  sqrt: { evaluate: Math.sqrt },
  exp: { evaluate: Math.exp },
  log: { evaluate: Math.log },
  floor: { evaluate: Math.floor, hostOnly: true },
  /** The remainder with the sign of the divisor, as Python has it: x − b·⌊x/b⌋. */
  mod: { evaluate: (a, b) => a - b * Math.floor(a / b), hostOnly: true },
  equal: { evaluate: (a, b) => (a === b ? 1 : 0), comparison: true },
  less: { evaluate: (a, b) => (a < b ? 1 : 0), comparison: true },
  lessOrEqual: { evaluate: (a, b) => (a <= b ? 1 : 0), comparison: true },
  greater: { evaluate: (a, b) => (a > b ? 1 : 0), comparison: true },
  greaterOrEqual: { evaluate: (a, b) => (a >= b ? 1 : 0), comparison: true },
  where: { evaluate: (condition, yes, no) => (condition !== 0 ? yes : no) },
} as const satisfies Record<string, Operation>;

/** Names of {@link operations}. */
export type OperationName = keyof typeof operations;
/** Names of those that devices have; the others are for scalars alone. */
export type DeviceOperationName = {
  [Name in OperationName]: (typeof operations)[Name] extends { readonly hostOnly: true } ? never : Name;
}[OperationName];

/** An entry of {@link operations}, by name. */
export function operation(name: OperationName): Operation {
  return operations[name];
}

const plus = (a: number, b: number): number => a + b;

/** A way to make one number of many. */
export interface Reduction {
  /** What is accumulated, in float64. */
  readonly term: (x: number) => number;
  readonly combine: (a: number, b: number) => number;
  readonly start: number;
  /** The result, in float64; a float32 backend rounds it. */
  readonly finish: (total: number, count: number) => number;
}

/**
 * Reductions, over all elements or along one axis of a matrix. The order of summation is part of their meaning, so that
 * host backends agree to the last bit, and is chosen so that SIMD units can follow it; see `docs/ir.md`.
 */
export const reductions = {
  sum: { term: (x) => x, combine: plus, start: 0, finish: (total) => total },
  mean: { term: (x) => x, combine: plus, start: 0, finish: (total, count) => total / count },
  /** Euclidean norm √Σx². */
  norm: { term: (x) => x * x, combine: plus, start: 0, finish: (total) => Math.sqrt(total) },
  /** The largest element; NaN if any is, −∞ of none. */
  largest: { term: (x) => x, combine: (a, b) => Math.max(a, b), start: -Infinity, finish: (total) => total },
} as const satisfies Record<string, Reduction>;

/** Names of {@link reductions}. */
export type ReductionName = keyof typeof reductions;

/** An entry of {@link reductions}, by name. */
export function reduction(name: ReductionName): Reduction {
  return reductions[name];
}

/** Elements that one chain of accumulators takes before its result joins the tree of partial sums. */
export const REDUCTION_BLOCK = 4096;

/**
 * Reduces `x(0) … x(count − 1)`. In every block of {@link REDUCTION_BLOCK} elements, element i goes to the lane i mod 4
 * of four float64 accumulators, which combine as (l₀ ∘ l₁) ∘ (l₂ ∘ l₃); the results of blocks combine pairwise, neighbour
 * with neighbour, round by round.
 */
export function reduceInOrder(name: ReductionName, count: number, x: (i: number) => number): number {
  const { term, combine, start, finish } = reduction(name);
  let blocks: number[] = [];
  const lanes = [start, start, start, start];
  for (let first = 0; first < count; first += REDUCTION_BLOCK) {
    lanes.fill(start);
    const end = Math.min(first + REDUCTION_BLOCK, count);
    for (let i = first; i < end; i++) lanes[i & 3] = combine(lanes[i & 3], term(x(i)));
    blocks.push(combine(combine(lanes[0], lanes[1]), combine(lanes[2], lanes[3])));
  }
  while (blocks.length > 1) {
    const pairs: number[] = [];
    for (let i = 0; i < blocks.length; i += 2) {
      pairs.push(i + 1 < blocks.length ? combine(blocks[i], blocks[i + 1]) : blocks[i]);
    }
    blocks = pairs;
  }
  return finish(blocks.length === 0 ? start : blocks[0], count);
}
