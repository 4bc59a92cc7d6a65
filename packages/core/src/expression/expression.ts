import { AdakitError, shown } from '../errors.js';
import { symmetricEigenvectors } from '../factor/eigenvectors.js';
import type { FactorName, HostFactor } from '../factor/factor.js';
import { orthonormalColumns } from '../factor/orthonormal.js';
import { fillRandom, type Distribution } from '../random/philox.js';
import { NarrowFormat } from '../tensor/narrow.js';
import { operation, operations, type OperationName, type ReductionName } from './operations.js';
import {
  equalShapes,
  isShape,
  joinShapes,
  shapeText,
  type Extent,
  type Rank,
  type Shape,
  type ValueType,
} from './type.js';

/** Everything a program can read. */
export type InputName = string;

/** What is reduced: all elements, or an axis of a matrix, which then has extent 1. */
export type ReducedAxis = 'all' | 'rows' | 'cols';

/** A node of an expression, or with `Arg = number` an instruction of a program, whose operands are earlier lines. */
export type Form<Arg> =
  | { readonly form: 'constant'; readonly type: ValueType; readonly value: number }
  | { readonly form: 'input'; readonly type: ValueType; readonly name: InputName }
  | {
      readonly form: 'elementwise';
      readonly type: ValueType;
      readonly op: OperationName;
      readonly args: readonly Arg[];
    }
  | {
      readonly form: 'reduce';
      readonly type: ValueType;
      readonly op: ReductionName;
      readonly over: ReducedAxis;
      readonly args: readonly [Arg];
    }
  | { readonly form: 'matMul'; readonly type: ValueType; readonly args: readonly [Arg, Arg] }
  | { readonly form: 'transpose'; readonly type: ValueType; readonly args: readonly [Arg] }
  | {
      readonly form: 'factor';
      readonly type: ValueType;
      readonly op: FactorName;
      /** Computes it on the host. Rules that need it bring it along, so that devices need not. */
      readonly compute: HostFactor;
      readonly args: readonly [Arg];
    }
  /** The same elements in row-major order under another shape: the parameter's, or its matrix view. */
  | { readonly form: 'view'; readonly type: ValueType; readonly args: readonly [Arg] }
  /** Repeats a number, or extents of 1. */
  | { readonly form: 'broadcast'; readonly type: ValueType; readonly args: readonly [Arg] }
  | { readonly form: 'cast'; readonly type: ValueType; readonly to: NarrowFormat; readonly args: readonly [Arg] }
  /** Operands: seed, key of the parameter, step. */
  | {
      readonly form: 'random';
      readonly type: ValueType;
      readonly distribution: Distribution;
      readonly stream: number;
      /** Draws them. Rules that do bring it along, so that devices need not. */
      readonly draw: typeof fillRandom;
      readonly args: readonly [Arg, Arg, Arg];
    }
  /** The index of each row or column, or of as many as a rank is, counted from 0. */
  | { readonly form: 'index'; readonly type: ValueType; readonly axis: Exclude<Extent, 1> };

/** A node of an expression. */
export type ExpressionNode = Form<ExpressionNodeReference>;
/** Breaks the recursion of the type alias. */
export interface ExpressionNodeReference {
  readonly node: ExpressionNode;
}

type Side = 'scalar' | 'tensor';
/** What operations combine a value with: a number is a host scalar. */
export type Operand = number | Expression;

/** A device value with anything is a device value; host scalars among themselves stay host scalars. */
type Join<A extends Side, B> = A extends 'tensor' ? 'tensor' : B extends Expression<'tensor'> ? 'tensor' : 'scalar';

const hostNumber: ValueType = { place: 'host', shape: 'number', dtype: 'float64' };

/** An operation on one value. @inline */
type Change<K extends Side> = () => Expression<K>;
/** An operation on two values. @inline */
type Combination<K extends Side> = <O extends Operand>(other: O) => Expression<Join<K, O>>;
/** A question about two values. @inline */
type Comparison<K extends Side> = <O extends Operand>(other: O) => Condition<Join<K, O>>;

/** What JavaScript's operators cannot work on. */
class Symbolic<K extends Side> implements ExpressionNodeReference {
  declare protected readonly side: K;
  readonly node: ExpressionNode;

  constructor(node: ExpressionNode) {
    this.node = node;
  }

  /** JavaScript asks for this in `a * b`, `a + b`, `a > b`, `-a`, `Math.sqrt(a)` and `${a}`. */
  [Symbol.toPrimitive](): never {
    throw typeError(
      "JavaScript's operators do not work on symbolic values: write grad.mul(lr) for grad * lr, step.greater(1) for " +
        'step > 1, x.neg() for -x, x.sqrt() for Math.sqrt(x)',
    );
  }
}

/**
 * A value in an update rule. Writing `m.mul(beta1).add(g)` computes nothing: it records the operations, in the order
 * written, which is also the order in which every backend rounds.
 *
 * JavaScript's own operators (`g * lr`, `step > 1`) cannot be recorded; they throw and say what to write.
 */
export class Expression<K extends Side = Side> extends Symbolic<K> {
  /** Place, shape and dtype. */
  get type(): ValueType {
    return this.node.type;
  }

  /** This value plus `other`. */
  declare add: Combination<K>;
  /** This value minus `other`. */
  declare sub: Combination<K>;
  /** This value times `other`. */
  declare mul: Combination<K>;
  /** This value divided by `other`; x/0 is ±∞, 0/0 NaN. */
  declare div: Combination<K>;
  /** This value to the power of the other. */
  declare pow: Combination<K>;
  /** The smaller of the two; NaN if either is. */
  declare min: Combination<K>;
  /** The larger of the two; NaN if either is. */
  declare max: Combination<K>;
  /** −x. */
  declare neg: Change<K>;
  /** |x|. */
  declare abs: Change<K>;
  /** −1, 0 or 1. */
  declare sign: Change<K>;
  /** x². */
  declare square: Change<K>;
  /** √x; NaN below zero. */
  declare sqrt: Change<K>;
  /** eˣ. */
  declare exp: Change<K>;
  /** Natural logarithm. */
  declare log: Change<K>;
  /** The largest integer not above; scalars only. */
  declare floor: Change<K>;
  /** The remainder of the division by the other, with the sign of the other; scalars only. */
  declare mod: Combination<K>;

  /** Whether the two are equal; NaN equals nothing. */
  declare equal: Comparison<K>;
  /** Whether this is less than `other`; not with NaN. */
  declare less: Comparison<K>;
  /** Whether this is at most `other`; not with NaN. */
  declare lessOrEqual: Comparison<K>;
  /** Whether this is greater than `other`; not with NaN. */
  declare greater: Comparison<K>;
  /** Whether this is at least `other`; not with NaN. */
  declare greaterOrEqual: Comparison<K>;

  /** Limits the value to [low, high]: `min(max(x, low), high)`. */
  clip<L extends Operand, H extends Operand>(low: L, high: H): Expression<Join<Join<K, L>, H>> {
    return this.max(low).min(high);
  }
}

/** A float64 number known before the step. */
export type Scalar = Expression<'scalar'>;
/** A value that the device computes: an element for every element of the parameter, a matrix, or one number. */
export type Tensor = Expression<'tensor'>;

/** The outcome of a comparison, for {@link where}. */
export class Condition<K extends Side = Side> extends Symbolic<K> {
  constructor(node: ExpressionNode) {
    super(node);
    pending?.add(this);
  }
}

// Every operation of the table is a method of values, but for the choice, which is one of conditions.
for (const op of Object.keys(operations) as OperationName[]) {
  if (op === 'where') continue;
  const Outcome = isComparison(op) ? Condition : Expression;
  Object.defineProperty(Expression.prototype, op, {
    value(this: Expression, ...others: readonly Operand[]) {
      return new Outcome(simplified(op, [this.node, ...others.map(nodeOf)]));
    },
  });
}

/** Conditions made since {@link watchConditions} began that no `where` has read. */
let pending: Set<Condition> | undefined;

/**
 * Runs `trace` and finds the conditions in it that nothing reads. `if (grad.greater(0))` is always true in JavaScript and
 * cannot be caught where it stands; but the condition it leaves behind is never used.
 *
 * @throws AdakitError `invalid-rule`
 */
export function watchConditions<T>(trace: () => T): T {
  const outer = pending;
  const own = new Set<Condition>();
  pending = own;
  try {
    const result = trace();
    for (const { node } of own) {
      if (node.form !== 'elementwise') continue;
      throw typeError(
        `the comparison .${node.op}(…) is never used: \`if\`, \`?:\`, \`!\` and \`&&\` cannot look at symbolic values; ` +
          'write where(condition, a, b)',
      );
    }
    return result;
  } finally {
    pending = outer;
  }
}

/** A constant. @throws AdakitError for NaN, which no rule means */
export function scalar(value: number): Scalar {
  return new Expression(constant(value));
}

/** 1 − x: the weight of the new value in a moving average. */
export function oneMinus<K extends Side>(x: Expression<K>): Expression<K> {
  return new Expression(simplified('sub', [constant(1), nodeOf(x)]));
}

/** Exponential moving average β·average + (1 − β)·value. */
export function movingAverage(average: Tensor, value: Tensor, beta: Scalar): Tensor {
  return average.mul(beta).add(value.mul(oneMinus(beta)));
}

/** `yes` where the condition holds, `no` elsewhere. The side not taken may be NaN or infinite. */
export function where<C extends Side, Y extends Operand, N extends Operand>(
  condition: Condition<C>,
  yes: Y,
  no: N,
): Expression<Join<Join<C, Y>, N>> {
  if (!(condition instanceof Condition)) {
    throw typeError('where takes a comparison first; write where(condition, a, b)');
  }
  pending?.delete(condition);
  return new Expression(simplified('where', [condition.node, nodeOf(yes), nodeOf(no)]));
}

/** Sum over all elements, or along one axis of a matrix: `sum(x, 'cols')` has one number a row. */
export const sum = (x: Tensor, over: ReducedAxis = 'all'): Tensor => reduce('sum', x, over);
/** Mean over all elements, or along one axis of a matrix. */
export const mean = (x: Tensor, over: ReducedAxis = 'all'): Tensor => reduce('mean', x, over);
/** Euclidean norm √Σx² over all elements, or along one axis of a matrix. */
export const norm = (x: Tensor, over: ReducedAxis = 'all'): Tensor => reduce('norm', x, over);
/** The largest of all elements, or along one axis of a matrix. */
export const largest = (x: Tensor, over: ReducedAxis = 'all'): Tensor => reduce('largest', x, over);

/** The value as the matrix `[rows, cols]` of the parameter, see {@link matrixExtents}. A reinterpretation, not a copy. */
export function asMatrix(x: Tensor): Tensor {
  const { shape } = nodeOf(x).type;
  if (equalShapes(shape, ['rows', 'cols'])) return x;
  if (shape !== 'param') throw typeError(`asMatrix takes a value of the parameter's shape, got ${shapeText(shape)}`);
  return new Expression({ form: 'view', type: deviceType(['rows', 'cols']), args: [x] });
}

/** The matrix `[rows, cols]` in the parameter's own shape: the inverse of {@link asMatrix}. */
export function asParam(x: Tensor): Tensor {
  const { shape } = nodeOf(x).type;
  if (shape === 'param') return x;
  if (!equalShapes(shape, ['rows', 'cols'])) {
    throw typeError(`asParam takes a matrix [rows, cols], got ${shapeText(shape)}`);
  }
  const { node } = x;
  if (node.form === 'view') return new Expression(node.args[0].node);
  return new Expression({ form: 'view', type: deviceType('param'), args: [x] });
}

/**
 * A matrix with rows and columns exchanged: shape `[a, b]` becomes `[b, a]`.
 *
 * @throws AdakitError `invalid-rule` for a value that is no matrix; {@link asMatrix} makes one
 */
export function transpose(x: Tensor): Tensor {
  const { shape } = nodeOf(x).type;
  if (typeof shape === 'string') throw typeError(`transpose takes a matrix, got ${shapeText(shape)}`);
  const { node } = x;
  if (node.form === 'transpose') return new Expression(node.args[0].node);
  return new Expression({ form: 'transpose', type: deviceType([shape[1], shape[0]]), args: [x] });
}

/**
 * The matrix product, of several matrices from left to right. On float32 devices each element is summed in float32, in order
 * of the inner index.
 *
 * @throws AdakitError `invalid-rule` for values that are no matrices, or whose extents do not fit
 */
export function matMul(a: Tensor, b: Tensor, ...more: readonly Tensor[]): Tensor {
  return [b, ...more].reduce((product, next) => productOf(product, next), a);
}

function productOf(a: Tensor, b: Tensor): Tensor {
  const [left, right] = [nodeOf(a).type.shape, nodeOf(b).type.shape];
  if (typeof left === 'string' || typeof right === 'string' || left[1] !== right[0]) {
    throw typeError(`matMul takes matrices [m, k] and [k, n], got ${shapeText(left)} and ${shapeText(right)}`);
  }
  return new Expression({ form: 'matMul', type: deviceType([left[0], right[1]]), args: [a, b] });
}

/**
 * The columns of a matrix made orthonormal one after the other, as by Gram and Schmidt: Q of A = QR with no element of R's
 * diagonal below zero. Where columns depend on those before them, vectors complete the basis that no backend need agree on
 * with another; columns beyond as many as there are rows are zero. A step of subspace iteration is
 * `orthonormal(matMul(a, q))`.
 *
 * @throws AdakitError `invalid-rule` for a value that is no matrix
 */
export function orthonormal(x: Tensor): Tensor {
  const { shape } = nodeOf(x).type;
  if (typeof shape === 'string') throw typeError(`orthonormal takes a matrix, got ${shapeText(shape)}`);
  return factor('orthonormal', orthonormalColumns, x);
}

/**
 * The eigenvectors of a symmetric matrix as columns, eigenvalues descending; of each the largest element by magnitude, the
 * first where there are several, is positive. Where eigenvalues are equal, any basis of what they span. Only the lower
 * triangle is read.
 *
 * The time grows with the third power of the extent: it is that of some ten products on the host, and of several hundred in a
 * graph of ONNX Runtime. Do it seldom, behind
 * `where(step.equal(1), eigenvectors(a), slots.basis)`, and go on with {@link orthonormal}.
 *
 * @throws AdakitError `invalid-rule` for a value that is no square matrix
 */
export function eigenvectors(x: Tensor): Tensor {
  const { shape } = nodeOf(x).type;
  if (typeof shape === 'string' || shape[0] !== shape[1]) {
    throw typeError(`eigenvectors takes a matrix [rows, rows] or [cols, cols], got ${shapeText(shape)}`);
  }
  return factor('eigenvectors', symmetricEigenvectors, x);
}

function factor(op: FactorName, compute: HostFactor, x: Tensor): Tensor {
  return new Expression({ form: 'factor', type: deviceType(x.type.shape), op, compute, args: [x] });
}

/** Repeats a number, or the extents of 1 of a matrix, to fill `shape`. */
export function broadcast(x: Operand, shape: Shape): Tensor {
  const node = nodeOf(x);
  const { place, shape: own } = node.type;
  if (place === 'device' && equalShapes(own, shape)) return x as Tensor;
  // What is no TypeScript may say 'row'.
  const joined = isShape(shape) ? joinShapes(own, shape) : undefined;
  if (joined === undefined || !equalShapes(joined, shape)) {
    throw typeError(`cannot broadcast ${shapeText(own)} to ${isShape(shape) ? shapeText(shape) : shown(shape)}`);
  }
  return repeated({ node }, shape);
}

/** As {@link broadcast}, of a value that is known to fit. */
export function repeated(x: ExpressionNodeReference, shape: Shape): Tensor {
  return new Expression({ form: 'broadcast', type: deviceType(shape), args: [x] });
}

/**
 * Rounds to the nearest number of a narrower format, ties to even: `cast(x, bfloat16)`; it stays a float32 number.
 *
 * @throws AdakitError `invalid-rule` for what is no {@link NarrowFormat}, such as its name
 */
export function cast(x: Tensor, to: NarrowFormat): Tensor {
  if (!((to as unknown) instanceof NarrowFormat)) {
    throw typeError(`cast takes float16 or bfloat16 of @adakit/core, got ${shown(to)}`);
  }
  return narrowed({ node: nodeOf(x) }, to);
}

/** As {@link cast}, to what is known to be a format. */
export function narrowed({ node }: ExpressionNodeReference, to: NarrowFormat): Tensor {
  return new Expression({ form: 'cast', type: deviceType(node.type.shape), to, args: [{ node }] });
}

/** The index of each row, `[rows, 1]`, counted from 0. */
export const rowIndex = (): Tensor => new Expression({ form: 'index', type: deviceType(['rows', 1]), axis: 'rows' });
/** The index of each column, `[1, cols]`, counted from 0. */
export const colIndex = (): Tensor => new Expression({ form: 'index', type: deviceType([1, 'cols']), axis: 'cols' });
/** 0, 1, 2, … in a row of as many as a rank is, `[1, rank]`. */
export const rankIndex = (rank: Rank): Tensor =>
  new Expression({ form: 'index', type: deviceType([1, rank]), axis: rank });

/**
 * The leading columns of a square matrix over rows or columns, as many as a rank is: `[rows, rows]` becomes `[rows, rank]`.
 * A product with leading columns of the identity, which rounds nothing.
 *
 * @throws AdakitError `invalid-rule` for a value that is no such matrix
 */
export function leadingColumns(x: Tensor, rank: Rank): Tensor {
  const { shape } = nodeOf(x).type;
  const index = [rowIndex(), transpose(colIndex())].find(({ type }) =>
    equalShapes(shape, [type.shape[0], type.shape[0]] as Shape),
  );
  if (index === undefined) {
    throw typeError(`leadingColumns takes a matrix [rows, rows] or [cols, cols], got ${shapeText(shape)}`);
  }
  return matMul(x, where(index.equal(rankIndex(rank)), 1, 0));
}

/**
 * Random numbers of the parameter's shape: a function of seed, parameter, step, stream and position alone, so that every
 * backend draws the same and a resumed run draws what an uninterrupted one would.
 *
 * @param stream tells several draws in one rule apart
 */
export function random(
  distribution: Distribution,
  key: { readonly seed: Scalar; readonly key: Scalar; readonly step: Scalar },
  stream = 0,
): Tensor {
  const args = [key.seed, key.key, key.step] as const;
  return new Expression({ form: 'random', type: deviceType('param'), distribution, stream, draw: fillRandom, args });
}

/** A named input; used by tracing, not by rules. */
export function hostInput(name: InputName): Scalar {
  return new Expression({ form: 'input', type: hostNumber, name });
}
export function deviceInput(name: InputName, shape: Shape): Tensor {
  return new Expression({ form: 'input', type: deviceType(shape), name });
}

function deviceType(shape: Shape): ValueType {
  return { place: 'device', shape, dtype: 'float32' };
}

function reduce(op: ReductionName, x: Tensor, over: ReducedAxis): Tensor {
  const { place, shape } = nodeOf(x).type;
  if (place === 'host' || shape === 'number') {
    throw typeError(`${op} reduces a tensor, got ${place === 'host' ? 'a scalar' : 'one number'}`);
  }
  let result: Shape = 'number';
  if (over !== 'all') {
    // What is no TypeScript may say 'row'.
    if (shape === 'param' || !['rows', 'cols'].includes(over)) {
      throw typeError(`${op} takes 'rows' or 'cols' of a matrix, as asMatrix(x)`);
    }
    const extents: readonly [Extent, Extent] = shape;
    result = over === 'rows' ? [1, extents[1]] : [extents[0], 1];
  }
  return new Expression({ form: 'reduce', type: deviceType(result), op, over, args: [x] });
}

function nodeOf(operand: unknown): ExpressionNode {
  if (typeof operand === 'number') return constant(operand);
  if (operand instanceof Expression) return operand.node;
  throw typeError(
    `an operand must be a number or a symbolic value, got ${operand instanceof Condition ? 'a comparison; write where(condition, a, b)' : String(operand)}`,
  );
}

function constant(value: number): ExpressionNode {
  if (Number.isNaN(value)) {
    throw typeError('NaN as a constant, most likely of a missing value');
  }
  return { form: 'constant', type: hostNumber, value };
}

function isComparison(op: OperationName): boolean {
  return operation(op).comparison === true;
}

/**
 * The node for `op(args)`, simplified only where the result is the same to the last bit on every backend: constants
 * fold in float64, multiplying or dividing by one and subtracting zero vanish, x·x is x².
 */
function simplified(op: OperationName, args: readonly ExpressionNode[]): ExpressionNode {
  const type = typeOfResult(op, args);
  const [a, b, c] = args;
  const values = args.map((arg) => (arg.form === 'constant' ? arg.value : undefined));
  if (values.every((value) => value !== undefined)) {
    const value = operations[op].evaluate(values[0], values[1], values[2]);
    // A folded NaN stays an operation: log(−1) is what was written, however odd.
    if (!Number.isNaN(value)) return { form: 'constant', type, value };
  }
  const is = (index: number, value: number): boolean => Object.is(values[index], value);
  const same = (x: ExpressionNode): boolean => x.type.place === type.place && equalShapes(x.type.shape, type.shape);
  if (op === 'mul' && is(0, 1)) return b;
  if ((op === 'mul' || op === 'div') && is(1, 1)) return a;
  if (op === 'sub' && is(1, 0)) return a;
  if (op === 'neg' && a.form === 'elementwise' && a.op === 'neg') return a.args[0].node;
  if (op === 'mul' && a === b) return simplified('square', [a]);
  if ((op === 'min' || op === 'max') && a === b) return a;
  if (op === 'where' && values[0] !== undefined && same(values[0] ? b : c)) return values[0] ? b : c;
  return { form: 'elementwise', type, op, args: args.map((node) => ({ node })) };
}

function typeOfResult(op: OperationName, args: readonly ExpressionNode[]): ValueType {
  const place = args.some(({ type }) => type.place === 'device') ? 'device' : 'host';
  if (place === 'device' && operation(op).hostOnly) {
    throw typeError(`${op} is for scalars, not for tensors`);
  }
  const shape = args.reduce<Shape>((joined, { type }) => {
    const next = joinShapes(joined, type.shape);
    if (next !== undefined) return next;
    const hint = joined === 'param' || type.shape === 'param' ? '; asMatrix and asParam change between the two' : '';
    throw typeError(`${op} cannot combine ${shapeText(joined)} with ${shapeText(type.shape)}${hint}`);
  }, 'number');
  const dtype = isComparison(op) ? 'bool' : place === 'host' ? 'float64' : 'float32';
  return { place, shape, dtype };
}

function typeError(message: string): AdakitError {
  return new AdakitError('invalid-rule', message);
}
