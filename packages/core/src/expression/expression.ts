import { operation, type OperationName, type ReductionName } from './operations.js';

/**
 * Where a value lives.
 * - `scalar`: a float64 number the host knows before the step (hyperparameters, the step count, anything made of them).
 * - `statistic`: one number per parameter, computed on the device by a reduction.
 * - `tensor`: one number per element of the parameter.
 */
export type Kind = 'scalar' | 'statistic' | 'tensor';

/** Everything a rule can read. */
export type InputName = 'param' | 'grad' | 'step' | `slot.${string}` | `hyper.${string}` | `initial.${string}`;

export type ExpressionNode =
  | { readonly op: 'constant'; readonly kind: 'scalar'; readonly value: number }
  | { readonly op: 'input'; readonly kind: Kind; readonly name: InputName }
  | { readonly op: OperationName | ReductionName; readonly kind: Kind; readonly args: readonly ExpressionNode[] };

type Side = 'scalar' | 'tensor';
type Operand = number | Expression<Side>;
/** A tensor with anything is a tensor; scalars among themselves stay scalars. */
type Join<A extends Side, B> = A extends 'tensor' ? 'tensor' : B extends Expression<'tensor'> ? 'tensor' : 'scalar';

/**
 * A value in an update rule. Writing `m.mul(beta1).add(g)` computes nothing: it records the operations, in the order
 * written, which is also the order in which every backend rounds.
 */
export class Expression<K extends Side> {
  declare protected readonly side: K;
  readonly node: ExpressionNode;

  constructor(node: ExpressionNode) {
    this.node = node;
  }

  add<O extends Operand>(other: O): Expression<Join<K, O>> {
    return new Expression(applyNode('add', this, other));
  }
  sub<O extends Operand>(other: O): Expression<Join<K, O>> {
    return new Expression(applyNode('sub', this, other));
  }
  mul<O extends Operand>(other: O): Expression<Join<K, O>> {
    return new Expression(applyNode('mul', this, other));
  }
  div<O extends Operand>(other: O): Expression<Join<K, O>> {
    return new Expression(applyNode('div', this, other));
  }
  /** This value to the power `exponent`. */
  pow<O extends Operand>(exponent: O): Expression<Join<K, O>> {
    return new Expression(applyNode('pow', this, exponent));
  }
  /** The smaller of the two; NaN if either is. */
  min<O extends Operand>(other: O): Expression<Join<K, O>> {
    return new Expression(applyNode('min', this, other));
  }
  /** The larger of the two; NaN if either is. */
  max<O extends Operand>(other: O): Expression<Join<K, O>> {
    return new Expression(applyNode('max', this, other));
  }
  /** Limits the value to [low, high]: `min(max(x, low), high)`. */
  clip<L extends Operand, H extends Operand>(low: L, high: H): Expression<Join<Join<K, L>, H>> {
    return this.max(low).min(high);
  }
  neg(): Expression<K> {
    return new Expression(applyNode('neg', this));
  }
  abs(): Expression<K> {
    return new Expression(applyNode('abs', this));
  }
  /** −1, 0 or 1. */
  sign(): Expression<K> {
    return new Expression(applyNode('sign', this));
  }
  square(): Expression<K> {
    return new Expression(applyNode('square', this));
  }
  sqrt(): Expression<K> {
    return new Expression(applyNode('sqrt', this));
  }
  exp(): Expression<K> {
    return new Expression(applyNode('exp', this));
  }
  /** Natural logarithm. */
  log(): Expression<K> {
    return new Expression(applyNode('log', this));
  }
  equal<O extends Operand>(other: O): Condition<Join<K, O>> {
    return new Condition(applyNode('equal', this, other));
  }
  less<O extends Operand>(other: O): Condition<Join<K, O>> {
    return new Condition(applyNode('less', this, other));
  }
  lessOrEqual<O extends Operand>(other: O): Condition<Join<K, O>> {
    return new Condition(applyNode('lessOrEqual', this, other));
  }
  greater<O extends Operand>(other: O): Condition<Join<K, O>> {
    return new Condition(applyNode('greater', this, other));
  }
  greaterOrEqual<O extends Operand>(other: O): Condition<Join<K, O>> {
    return new Condition(applyNode('greaterOrEqual', this, other));
  }
}

/** A float64 number known before the step. */
export type Scalar = Expression<'scalar'>;
/** One value per element of the parameter, or one per parameter after a reduction; float32 on every device. */
export type Tensor = Expression<'tensor'>;

/** The outcome of a comparison, for {@link where}. */
export class Condition<K extends Side> {
  declare protected readonly side: K;
  readonly node: ExpressionNode;

  constructor(node: ExpressionNode) {
    this.node = node;
  }
}

/** A constant. */
export function scalar(value: number): Scalar {
  return new Expression(constant(value));
}

/** 1 − x: the weight of the new value in a moving average. */
export function oneMinus<K extends Side>(x: Expression<K>): Expression<K> {
  return new Expression(simplified('sub', [constant(1), x.node]));
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
  return new Expression(simplified('where', [condition.node, nodeOf(yes), nodeOf(no)]));
}

/** Sum over all elements of the parameter. */
export const sum = (x: Tensor): Tensor => reduce('sum', x);
/** Mean over all elements of the parameter. */
export const mean = (x: Tensor): Tensor => reduce('mean', x);
/** Euclidean norm √Σx² over all elements of the parameter. */
export const norm = (x: Tensor): Tensor => reduce('norm', x);

/** A named input; used by tracing, not by rules. */
export function input<K extends Side>(name: InputName, kind: K): Expression<K> {
  return new Expression({ op: 'input', kind, name });
}

function reduce(op: ReductionName, x: Tensor): Tensor {
  if (x.node.kind !== 'tensor') throw new TypeError(`${op} reduces a tensor, got a ${x.node.kind}`);
  return new Expression({ op, kind: 'statistic', args: [x.node] });
}

function applyNode(op: OperationName, self: Expression<Side>, ...others: Operand[]): ExpressionNode {
  return simplified(op, [self.node, ...others.map(nodeOf)]);
}

function nodeOf(operand: Operand): ExpressionNode {
  return typeof operand === 'number' ? constant(operand) : operand.node;
}

function constant(value: number): ExpressionNode {
  return { op: 'constant', kind: 'scalar', value };
}

/**
 * The node for `op(args)`, simplified only where the result is the same to the last bit on every backend: constants
 * fold in float64, multiplying or dividing by one and subtracting zero vanish, x·x is x².
 */
function simplified(op: OperationName, args: readonly ExpressionNode[]): ExpressionNode {
  const [a, b, c] = args;
  const values = args.map((arg) => (arg.op === 'constant' ? arg.value : undefined));
  if (values.every((value) => value !== undefined)) {
    return constant(operation(op).evaluate(values[0], values[1], values[2]));
  }
  const is = (index: number, value: number): boolean => Object.is(values[index], value);
  if (op === 'mul' && is(0, 1)) return b;
  if ((op === 'mul' || op === 'div') && is(1, 1)) return a;
  if (op === 'sub' && is(1, 0)) return a;
  if (op === 'neg' && a.op === 'neg') return a.args[0];
  if (op === 'mul' && a === b) return simplified('square', [a]);
  if ((op === 'min' || op === 'max') && a === b) return a;
  if (op === 'where' && values[0] !== undefined && kindOf([b, c]) === (values[0] ? b : c).kind)
    return values[0] ? b : c;
  return { op, kind: kindOf(args), args };
}

const rank = { scalar: 0, statistic: 1, tensor: 2 } as const satisfies Record<Kind, number>;

function kindOf(args: readonly ExpressionNode[]): Kind {
  return args.reduce<Kind>((kind, arg) => (rank[arg.kind] > rank[kind] ? arg.kind : kind), 'scalar');
}
