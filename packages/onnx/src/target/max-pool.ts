import { poolAttributes } from '../entry/window/canonical.js';
import { poolWindows, windowExtent } from '../entry/window/windows.js';
import type { Value } from '../graph/value.js';
import type { Formulation, FormulationContext } from './target.js';

/**
 * Puts the cotangents back with MaxUnpool where it can, else adds them with ScatterElements, by the Indices of the forward
 * pool. On ONNX Runtime's CPU provider neither is slower than routing by comparisons, and only the first is exact for ties
 * without a pass for each offset of the window.
 */
export const unpoolOrScatter: Formulation = (ctx) => [fits(ctx) ? unpool(ctx) : scatter(ctx)];

/** Adds the cotangents at the Indices of the forward pool, for providers without MaxUnpool. */
export const scatterByIndices: Formulation = (ctx) => [scatter(ctx)];

/**
 * Whether MaxUnpool can put the cotangents back. It only writes, so no element may be chosen by two windows; it wants
 * all windows to lie inside the input, and ONNX Runtime has it for float32 alone.
 */
function fits(ctx: FormulationContext): boolean {
  const x = ctx.input(0);
  const windows = poolWindows(ctx, ctx.shape(x).slice(2));
  const { strides, begin, end } = windows;
  return (
    x.dtype === 'float32' &&
    ctx.node.attributes.int('ceil_mode', 0) === 0 &&
    [...begin, ...end].every((pad) => pad === 0) &&
    strides.every((stride, i) => windowExtent(windows, i) <= stride)
  );
}

function unpool(ctx: FormulationContext): Value {
  const { e, node } = ctx;
  return e.node('MaxUnpool', [ctx.input(2), indices(ctx), e.shapeOf(ctx.input(0))], {
    kernel_shape: node.attributes.ints('kernel_shape'),
    strides: node.attributes.ints('strides'),
  });
}

function scatter(ctx: FormulationContext): Value {
  const { e } = ctx;
  const [x, dy] = [ctx.input(0), ctx.input(2)];
  const flat = (value: Value) => e.reshape(value, [-1]);
  const zeros = flat(e.zerosLike(x));
  const sums = e.node('ScatterElements', [zeros, flat(indices(ctx)), flat(dy)], { axis: 0, reduction: 'add' });
  return e.reshapeLike(sums, x);
}

/** Where the maxima lie in the flattened input: output 1 of the pool that computed them, or of another one that counts them in row-major order. */
function indices(ctx: FormulationContext): Value {
  const { e, node } = ctx;
  const y = ctx.input(1);
  const pool = y.producer;
  const inOrder = pool?.key === 'MaxPool' && pool.attributes.int('storage_order', 0) === 0;
  if (inOrder && e.graph.owns(y)) return ctx.outputOf(pool, 1);
  return e.nodes('MaxPool', [ctx.input(0)], poolAttributes(node), 2)[1];
}
