/**
 * The operations of the rule language, as data. Every backend covers exactly this table.
 *
 * `evaluate` is the meaning on real numbers in float64; a float32 backend rounds each result to float32.
 * Comparisons yield 1 for true and 0 for false.
 */
interface Operation {
  readonly arity: 1 | 2 | 3;
  readonly evaluate: (a: number, b: number, c: number) => number;
  /** How the operation is printed: an infix symbol, or a function call when absent. */
  readonly symbol?: string;
  readonly comparison?: true;
}

export const operations = {
  add: { arity: 2, evaluate: (a, b) => a + b, symbol: '+' },
  sub: { arity: 2, evaluate: (a, b) => a - b, symbol: '-' },
  mul: { arity: 2, evaluate: (a, b) => a * b, symbol: '*' },
  div: { arity: 2, evaluate: (a, b) => a / b, symbol: '/' },
  pow: { arity: 2, evaluate: (a, b) => Math.pow(a, b), symbol: '^' },
  min: { arity: 2, evaluate: (a, b) => Math.min(a, b) },
  max: { arity: 2, evaluate: (a, b) => Math.max(a, b) },
  neg: { arity: 1, evaluate: (a) => -a },
  abs: { arity: 1, evaluate: (a) => Math.abs(a) },
  sign: { arity: 1, evaluate: (a) => Math.sign(a) },
  square: { arity: 1, evaluate: (a) => a * a },
  sqrt: { arity: 1, evaluate: (a) => Math.sqrt(a) },
  exp: { arity: 1, evaluate: (a) => Math.exp(a) },
  log: { arity: 1, evaluate: (a) => Math.log(a) },
  equal: { arity: 2, evaluate: (a, b) => (a === b ? 1 : 0), symbol: '==', comparison: true },
  less: { arity: 2, evaluate: (a, b) => (a < b ? 1 : 0), symbol: '<', comparison: true },
  lessOrEqual: { arity: 2, evaluate: (a, b) => (a <= b ? 1 : 0), symbol: '<=', comparison: true },
  greater: { arity: 2, evaluate: (a, b) => (a > b ? 1 : 0), symbol: '>', comparison: true },
  greaterOrEqual: { arity: 2, evaluate: (a, b) => (a >= b ? 1 : 0), symbol: '>=', comparison: true },
  where: { arity: 3, evaluate: (condition, yes, no) => (condition !== 0 ? yes : no) },
} as const satisfies Record<string, Operation>;

export type OperationName = keyof typeof operations;

export function operation(name: OperationName): Operation {
  return operations[name];
}

/**
 * Reductions over all elements of one parameter: a tensor in, one number (a statistic) out.
 * `add` and `finish` work in float64; a float32 backend may sum in any order and rounds the result.
 */
interface Reduction {
  readonly term: (x: number) => number;
  readonly finish: (sum: number, count: number) => number;
}

export const reductions = {
  sum: { term: (x) => x, finish: (sum) => sum },
  mean: { term: (x) => x, finish: (sum, count) => sum / count },
  /** Euclidean norm. */
  norm: { term: (x) => x * x, finish: (sum) => Math.sqrt(sum) },
} as const satisfies Record<string, Reduction>;

export type ReductionName = keyof typeof reductions;

export function reduction(name: ReductionName): Reduction {
  return reductions[name];
}

export function isReduction(name: string): name is ReductionName {
  return Object.hasOwn(reductions, name);
}
