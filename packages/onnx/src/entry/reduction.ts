import type { Emitter } from '../graph/emitter.js';
import type { Contents, Value } from '../graph/value.js';
import type { Dim } from '../shape/dim.js';
import { axesFromInput } from './axes.js';
import { intsToInput } from './older-form.js';
import type { GradientContext, InferContext, Operator, OperatorFacts } from './operator.js';
import { DATA, SETTING } from './role.js';

/** What the derivative of a reduction y = f(x) over some axes is written with. */
export interface ReductionGradient {
  readonly e: Emitter;
  readonly x: Value;
  /** y, and its cotangent, with the reduced axes kept as axes of length 1: they broadcast against x. */
  readonly y: () => Value;
  readonly dy: Value;
  readonly ctx: GradientContext;
}

/** What a reduction may say besides its derivative. */
interface ReductionFacts extends OperatorFacts {
  /** f of known integers, for shape arithmetic. */
  readonly total?: (elements: Contents) => Dim | undefined;
}

/**
 * A reduction over axes given as input 1 (all axes when left out), in the form that opset 18 has for every reduction.
 *
 * @param derivative returns dy · ∂f/∂x; anything that broadcasts to the shape of x
 */
export function reduction(
  op: string,
  since: number,
  derivative: (gradient: ReductionGradient) => Value,
  { total, ...facts }: ReductionFacts = {},
): Operator {
  return {
    ...facts,
    op,
    since,
    shape: 'values',
    roles: [DATA, SETTING],
    mixes: true,
    infer(ctx) {
      const [elements, shape] = [ctx.contents(0), reducedShape(ctx)];
      // Of a vector, all is reduced or nothing.
      const isTotal = ctx.rank(0) === 1 && (shape.length === 0 || shape[0] === 1);
      const result = elements !== undefined && isTotal ? total?.(elements) : undefined;
      return [{ dtype: ctx.dtype(0), shape, contents: result === undefined ? undefined : [result] }];
    },
    gradient(ctx) {
      const { e } = ctx;
      const x = ctx.input(0);
      const restore = (value: Value) => restoreAxes(ctx, value);
      const dx = derivative({ e, x, y: () => restore(ctx.output()), dy: restore(ctx.grad()), ctx });
      return [e.expandLike(dx, x)];
    },
    upgrade(ctx) {
      // Before opset 18 (13 for ReduceSum) the axes were an attribute.
      if (ctx.opset < since) intsToInput(ctx, 'axes', 1);
      return undefined;
    },
  };
}

/** The derivative of a maximum or minimum: dy goes to the elements that attain it, in equal shares. */
export function toAttaining({ e, x, y, dy, ctx }: ReductionGradient): Value {
  const attains = e.cast(e.equal(x, y()), x.dtype ?? 'float32');
  // The same axes as forward, so that the count lines up with y.
  const count = e.node('ReduceSum', ctx.has(1) ? [attains, ctx.input(1)] : [attains], {
    keepdims: 1,
    noop_with_empty_axes: ctx.node.attributes.int('noop_with_empty_axes'),
  });
  return e.mul(attains, e.div(dy, count));
}

/** An operator that opset 20 gave bools, too: they are numbers for it here. */
export function alsoOfBools(operator: Operator): Operator {
  return {
    ...operator,
    upgrade(ctx) {
      const { e, node } = ctx;
      const [x, axes] = node.inputs;
      if (x?.dtype !== 'bool') return operator.upgrade?.(ctx);
      const { attributes } = node;
      const result = e.node(operator.op, axes === undefined ? [e.cast(x, 'int32')] : [e.cast(x, 'int32'), axes], {
        keepdims: attributes.int('keepdims'),
        noop_with_empty_axes: attributes.int('noop_with_empty_axes'),
      });
      return [e.cast(result, 'bool')];
    },
  };
}

/** Whether the node leaves x as it is because it names no axes. */
function isNoop(
  ctx: { readonly node: GradientContext['node']; has(index: number): boolean },
  axisCount: number,
): boolean {
  return ctx.node.attributes.int('noop_with_empty_axes', 0) === 1 && (!ctx.has(1) || axisCount === 0);
}

function reducedShape(ctx: InferContext): readonly Dim[] {
  const shape = ctx.shape(0);
  const keepdims = ctx.node.attributes.int('keepdims', 1) === 1;
  const known = ctx.has(1) ? ctx.staticContents(1) : [];
  if (known === undefined && keepdims) return shape.map((dim) => (dim === 1 ? 1 : ctx.unknownDim()));
  const listed = ctx.has(1) ? axesFromInput(ctx, 1, shape.length) : [];
  if (isNoop(ctx, listed.length)) return shape;
  const axes = new Set(listed.length === 0 ? shape.keys() : listed);
  return keepdims ? shape.map((dim, i) => (axes.has(i) ? 1 : dim)) : shape.filter((_, i) => !axes.has(i));
}

/** Puts the reduced axes back as axes of length 1. */
function restoreAxes(ctx: GradientContext, value: Value): Value {
  const { e, node } = ctx;
  if (node.attributes.int('keepdims', 1) === 1) return value;
  const count = ctx.has(1) ? ctx.input(1).contents?.length : 0;
  if (isNoop(ctx, count ?? 1)) return value;
  if (count !== 0) return e.node('Unsqueeze', [value, ctx.input(1)]);
  // Everything was reduced, so any rank of ones will do.
  return value;
}
