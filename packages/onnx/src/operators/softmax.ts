import { likeInputAlongAxis } from '../entry/composite.js';
import type { Operator, UpgradeContext } from '../entry/operator.js';
import type { Value } from '../graph/value.js';
import { equalShapes, normalizeAxis } from '../shape/shape.js';

/** y = eˣ / Σ eˣ over one axis; dx = y (dy − Σ dy y). */
export const Softmax: Operator = {
  op: 'Softmax',
  since: 13,
  mixes: true,
  followsHead: true,
  infer: likeInputAlongAxis,
  gradient(ctx) {
    const { e } = ctx;
    const [y, dy] = [ctx.output(), ctx.grad()];
    const axis = ctx.node.attributes.int('axis', -1);
    const inner = e.reduceSum(e.mul(dy, y), [axis], { keepdims: true });
    return [e.mul(y, e.sub(dy, inner))];
  },
  upgrade: softmaxOfMatrix,
};

/**
 * y = x − ln Σ eˣ over one axis; dx = dy − eʸ Σ dy. Where only one element along the axis was picked, as labels do, dy is
 * not written out for all: dx is −eʸ dy with dy added in its place.
 */
export const LogSoftmax: Operator = {
  op: 'LogSoftmax',
  since: 13,
  mixes: true,
  followsHead: true,
  infer: likeInputAlongAxis,
  gradient(ctx) {
    const { e } = ctx;
    const [y, dy] = [ctx.output(), ctx.grad()];
    const axis = fromStart(ctx.node.attributes.int('axis', -1), ctx.shape(y).length);
    const picked = pickedAlong(dy, axis);
    if (picked !== undefined) {
      const { indices, updates } = picked;
      const others = e.mul(e.exp(y), e.neg(updates));
      return [e.node('ScatterElements', [others, indices, updates], { axis, reduction: 'add' })];
    }
    const total = e.reduceSum(dy, [axis], { keepdims: true });
    return [e.sub(dy, e.mul(e.exp(y), total))];
  },
  upgrade: softmaxOfMatrix,
};

function fromStart(axis: number, rank: number): number {
  return axis < 0 ? axis + rank : axis;
}

/** What a cotangent consists of that is zero but for one element along an axis: the gradient of GatherElements. */
function pickedAlong({ producer, shape }: Value, axis: number): { indices: Value; updates: Value } | undefined {
  if (producer?.key !== 'ScatterElements' || shape === undefined) return undefined;
  const [zeros, indices, updates] = producer.inputs;
  const isPick =
    fromStart(producer.attributes.int('axis', 0), shape.length) === axis &&
    updates?.shape !== undefined &&
    equalShapes(updates.shape, shape.with(axis, 1));
  if (!isPick || indices === undefined || zeros?.producer?.key !== 'Expand') return undefined;
  const value = zeros.producer.inputs[0]?.constant;
  return value?.size === 1 && Number(value.data[0]) === 0 ? { indices, updates } : undefined;
}

/** 1 at the first largest element along an axis, 0 elsewhere. */
export const Hardmax: Operator = {
  op: 'Hardmax',
  since: 13,
  infer: likeInputAlongAxis,
  gradient: 'zero',
  upgrade(ctx) {
    const { node, opset, e } = ctx;
    const [x] = node.inputs;
    if (opset >= 13 || x === undefined) return undefined;
    // Before opset 13 the axes from `axis` (1 unless told) on were one.
    const rank = x.shape?.length ?? ctx.fail(`reads '${x.name}', whose rank is unknown`);
    const given = node.attributes.int('axis', 1);
    const flat = e.node('Flatten', [x], { axis: given });
    if (rank === 2 && given === 1) {
      node.attributes.set('axis', 1);
      return undefined;
    }
    return [e.reshapeLike(e.node('Hardmax', [flat], { axis: 1 }), x)];
  },
};

/**
 * Softmax and LogSoftmax before opset 13: `axis` (then 1 by default) does not name the axis of the sum but cuts the
 * shape in two; the value is taken as a matrix, and the sum goes over its rows.
 */
function softmaxOfMatrix({ node, opset, e, fail }: UpgradeContext) {
  if (opset >= 13) return undefined;
  const x = node.inputs[0];
  if (x?.shape === undefined) return fail('has an input of unknown rank, on which its meaning depends before opset 13');
  const axis = normalizeAxis(node.attributes.int('axis', 1), x.shape.length) ?? fail('has an axis outside its input');
  if (axis === x.shape.length - 1) {
    node.attributes.set('axis', -1);
    return undefined;
  }
  return [e.reshapeLike(e.node(node.op, [e.node('Flatten', [x], { axis })], { axis: -1 }), x)];
}
