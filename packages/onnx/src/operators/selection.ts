import { likeInput } from '../entry/composite.js';
import { setInput } from '../entry/older-form.js';
import type { GradientContext, InferContext, Operator } from '../entry/operator.js';
import { DATA, INDICES, role, SETTING } from '../entry/role.js';
import type { Value } from '../graph/value.js';
import { addDims, type Dim, isAtLeast, isStatic } from '../shape/dim.js';
import { MAX_CONTENTS } from '../shape/shape.js';

const TABLE = role('lookup', 'embedding table');
const WRITTEN = role('aside', 'what values are written into');

/** Slices along one axis picked by indices (negative ones count from the end); the axis is replaced by theirs. */
export const Gather: Operator = {
  op: 'Gather',
  since: 13,
  roles: [TABLE, INDICES],
  infer(ctx) {
    const shape = ctx.shape(0);
    const axis = ctx.axis(ctx.node.attributes.int('axis', 0), shape.length);
    return [
      {
        dtype: ctx.dtype(0),
        shape: [...shape.slice(0, axis), ...ctx.shape(1), ...shape.slice(axis + 1)],
        contents: gathered(ctx),
      },
    ];
  },
  gradient: (ctx) => [
    ctx.e.node('adakit::GatherGradient', [ctx.input(0), ctx.input(1), ctx.grad()], {
      axis: ctx.node.attributes.int('axis'),
    }),
    undefined,
  ],
};

/** The picked elements of a known vector. */
function gathered(ctx: InferContext) {
  const [contents, indices] = [ctx.contents(0), ctx.staticContents(1)];
  if (contents === undefined || indices === undefined || ctx.rank(0) !== 1 || indices.length > MAX_CONTENTS)
    return undefined;
  return indices.map((index) => contents[ctx.axis(index, contents.length)]);
}

/** For every index, the element at that place along one axis; its cotangent is added there. */
export const GatherElements: Operator = {
  op: 'GatherElements',
  since: 13,
  roles: [TABLE, INDICES],
  infer(ctx) {
    ctx.axis(ctx.node.attributes.int('axis', 0), ctx.rank(0));
    return [{ dtype: ctx.dtype(0), shape: ctx.shape(1) }];
  },
  gradient(ctx) {
    const { e } = ctx;
    const axis = ctx.node.attributes.int('axis', 0);
    const zeros = e.zerosLike(ctx.input(0));
    return [e.node('ScatterElements', [zeros, ctx.input(1), ctx.grad()], { axis, reduction: 'add' }), undefined];
  },
};

/** Slices picked by their first coordinates, which are the rows of the last axis of `indices`. */
export const GatherND: Operator = {
  op: 'GatherND',
  since: 13,
  roles: [TABLE, INDICES],
  infer(ctx) {
    const indices = ctx.shape(1);
    const coordinates = indices[indices.length - 1];
    if (!isStatic(coordinates))
      return ctx.fail('the rank of its result cannot be known: it depends on a free dimension');
    const batch = ctx.node.attributes.int('batch_dims', 0);
    return [{ dtype: ctx.dtype(0), shape: [...indices.slice(0, -1), ...ctx.shape(0).slice(batch + coordinates)] }];
  },
  gradient: (ctx) => [
    ctx.e.node('adakit::GatherNDGradient', [ctx.input(0), ctx.input(1), ctx.grad()], {
      batch_dims: ctx.node.attributes.int('batch_dims'),
    }),
    undefined,
  ],
};

/**
 * A copy of the data in which each element of `updates` takes the place of, or meets by `reduction`, the element that
 * `indices` name along one axis.
 */
export const ScatterElements: Operator = {
  op: 'ScatterElements',
  since: 18,
  roles: [DATA, INDICES, WRITTEN],
  infer(ctx) {
    ctx.axis(ctx.node.attributes.int('axis', 0), ctx.rank(0));
    return likeInput(ctx);
  },
  gradient(ctx) {
    const { e } = ctx;
    const indices = ctx.input(1);
    const axis = ctx.node.attributes.int('axis', 0);
    return scatterGradient(ctx, {
      pick: (x) => e.node('GatherElements', [x, indices], { axis }),
      put: (x, updates, reduction) => e.node('ScatterElements', [x, indices, updates], { axis, reduction }),
      count: (flags) =>
        e.node('ScatterElements', [e.zerosLike(ctx.input(0)), indices, flags], { axis, reduction: 'add' }),
    });
  },
};

/**
 * A copy of the data in which each slice of `updates` takes the place of, or meets by `reduction`, the slice that `indices`
 * name by its first coordinates.
 */
export const ScatterND: Operator = {
  op: 'ScatterND',
  since: 18,
  roles: [DATA, INDICES, WRITTEN],
  infer: likeInput,
  gradient(ctx) {
    const { e } = ctx;
    const indices = ctx.input(1);
    return scatterGradient(ctx, {
      pick: (x) => e.node('GatherND', [x, indices]),
      put: (x, updates, reduction) => e.node('ScatterND', [x, indices, updates], { reduction }),
      // Not by ScatterND, of which ONNX Runtime loses additions where an index repeats.
      count: (flags) => e.node('adakit::GatherNDGradient', [ctx.input(0), indices, flags]),
    });
  },
};

/** The name of ScatterElements before opset 11. */
export const Scatter: Operator = {
  op: 'Scatter',
  since: 9,
  infer: (ctx) => ctx.fail('opset 11 took it out; its name is ScatterElements since then'),
  gradient: 'none',
  upgrade: ({ node, opset, e }) =>
    opset < 11 ? [e.node('ScatterElements', node.inputs, { axis: node.attributes.int('axis', 0) })] : undefined,
};

/** The places that the indices of a scatter name. */
interface Places {
  /** What `x`, of the shape of the data, holds there. */
  pick(x: Value): Value;
  /** A copy of `x` with updates put there. */
  put(x: Value, updates: Value, reduction?: 'mul'): Value;
  /** For each element of the data, the sum of the `flags`, of the shape of the updates, that are put there. */
  count(flags: Value): Value;
}

/**
 * The cotangents of the data and the updates. What is overwritten gets none. All that attain a minimum or maximum have
 * equal shares, and a product passes to each factor the product of the others, as PyTorch's scatter_reduce has it.
 */
function scatterGradient(ctx: GradientContext, places: Places): readonly (Value | undefined)[] {
  const { e } = ctx;
  const [x, updates, dy] = [ctx.input(0), ctx.input(2), ctx.grad()];
  const given = (data: () => Value, written: () => Value) => [
    ctx.needs(0) ? data() : undefined,
    undefined,
    ctx.needs(2) ? written() : undefined,
  ];
  const reduction = ctx.node.attributes.string('reduction', 'none');
  switch (reduction) {
    case 'none':
      return given(
        () => places.put(dy, e.zerosLike(updates)),
        () => places.pick(dy),
      );
    case 'add':
      return given(
        () => dy,
        () => places.pick(dy),
      );
    case 'min':
    case 'max': {
      const y = ctx.output();
      const kept = e.equal(x, y);
      const chosen = e.equal(updates, places.pick(y));
      const ones = (flags: Value) => e.cast(flags, x.dtype ?? 'float32');
      const share = e.div(dy, e.add(ones(kept), places.count(ones(chosen))));
      return given(
        () => e.mask(kept, share),
        () => e.mask(chosen, places.pick(share)),
      );
    }
    case 'mul': {
      const written = () => {
        // The product of the others is y divided by the update, but for zeros: without them it is as if they were ones.
        const isZero = e.equal(updates, e.scalar(0, updates));
        const nonzero = e.where(isZero, e.scalar(1, updates), updates);
        const flags = e.cast(isZero, updates.dtype ?? 'float32');
        const otherZeros = e.sub(places.pick(places.count(flags)), flags);
        const product = places.pick(e.mul(dy, places.put(x, nonzero, 'mul')));
        return e.mask(e.equal(otherZeros, e.scalar(0, flags)), e.div(product, nonzero));
      };
      return given(() => places.put(dy, updates, 'mul'), written);
    }
    default:
      return ctx.fail(`its reduction '${reduction}' is none of none, add, mul, min and max`);
  }
}

/** The slices along an axis (or elements, without one) where a condition holds; the cotangent goes back there. */
export const Compress: Operator = {
  op: 'Compress',
  since: 11,
  shape: 'data',
  infer(ctx) {
    const axis = ctx.node.attributes.int('axis');
    const count = ctx.unknownDim(0);
    if (axis === undefined) return [{ dtype: ctx.dtype(0), shape: [count] }];
    return [{ dtype: ctx.dtype(0), shape: ctx.shape(0).with(ctx.axis(axis, ctx.rank(0)), count) }];
  },
  gradient(ctx) {
    const { e, node } = ctx;
    const [x, condition] = [ctx.input(0), ctx.input(1)];
    const axis = node.attributes.int('axis');
    const places = e.squeeze(e.node('NonZero', [condition]), [0]);
    const flat = axis === undefined;
    const target = flat ? e.reshape(e.zerosLike(x), [-1]) : e.zerosLike(x);
    const rank = flat ? 1 : ctx.shape(x).length;
    const along = flat || axis >= 0 ? (axis ?? 0) : axis + rank;
    const others = Array.from({ length: rank }, (_, i) => i).filter((i) => i !== along);
    const indices = e.node('Expand', [e.unsqueeze(places, others), e.shapeOf(ctx.grad())]);
    return [e.reshapeLike(e.node('ScatterElements', [target, indices, ctx.grad()], { axis: along }), x)];
  },
};

/** The k largest (or smallest) elements along an axis and where they were; the cotangent goes back there. */
export const TopK: Operator = {
  op: 'TopK',
  since: 11,
  roles: [DATA, SETTING],
  shape: 'values',
  infer(ctx) {
    const axis = ctx.axis(ctx.node.attributes.int('axis', -1), ctx.rank(0));
    const length = ctx.shape(0)[axis];
    const count = ctx.contents(1)?.[0] ?? ctx.unknownDim(0);
    if ((isStatic(count) && count < 0) || isAtLeast(count, addDims(length, 1))) {
      ctx.fail(`it takes the ${String(count)} largest of ${String(length)} elements`);
    }
    const shape = ctx.shape(0).with(axis, count);
    return [
      { dtype: ctx.dtype(0), shape },
      { dtype: 'int64', shape },
    ];
  },
  gradient(ctx) {
    const { e } = ctx;
    const axis = ctx.node.attributes.int('axis', -1);
    return [e.node('ScatterElements', [e.zerosLike(ctx.input(0)), ctx.output(1), ctx.grad()], { axis })];
  },
  upgrade(ctx) {
    const { node, opset, e } = ctx;
    const k = node.attributes.int('k');
    if (opset >= 10 || k === undefined) return undefined;
    setInput(ctx, 1, e.int64([k]));
    node.attributes.delete('k');
    return undefined;
  },
};

/** For each index a vector with the value "on" at that place and "off" elsewhere; the vectors lie along a new axis. */
export const OneHot: Operator = {
  op: 'OneHot',
  since: 11,
  shape: 'values',
  infer(ctx) {
    const indices = ctx.shape(0);
    const axis = ctx.axis(ctx.node.attributes.int('axis', -1), indices.length + 1);
    return [{ dtype: ctx.dtype(2), shape: indices.toSpliced(axis, 0, depth(ctx)) }];
  },
  gradient: 'none',
};

/** The length of the new axis: a single number, which may come as a float. */
function depth(ctx: InferContext): Dim {
  return ctx.contents(1)?.[0] ?? ctx.constant(1)?.toNumbers()[0] ?? ctx.unknownDim();
}

/** The indices of the elements that are not zero, one column an element. */
export const NonZero: Operator = {
  op: 'NonZero',
  since: 13,
  shape: 'data',
  infer: (ctx) => [{ dtype: 'int64', shape: [ctx.rank(0), ctx.unknownDim(0)] }],
  gradient: 'none',
};

/** The different elements (or slices along an axis), where they are first, what each element is one of, and how often. */
export const Unique: Operator = {
  op: 'Unique',
  since: 11,
  shape: 'data',
  infer(ctx) {
    const axis = ctx.node.attributes.int('axis');
    const count = ctx.unknownDim(0);
    const shape = axis === undefined ? [count] : ctx.shape(0).with(ctx.axis(axis, ctx.rank(0)), count);
    const numbers = { dtype: 'int64' as const, shape: [count] };
    return [{ dtype: ctx.dtype(0), shape }, numbers, { dtype: 'int64', shape: [ctx.unknownDim(0)] }, numbers];
  },
  gradient: 'none',
};

/** The boxes that are kept, as rows of batch, class and box. */
export const NonMaxSuppression: Operator = {
  op: 'NonMaxSuppression',
  since: 11,
  obstacle: {
    what: 'it chooses and computes nothing',
    hint: 'cut the model before it, and train what is left',
  },
  shape: 'data',
  infer: (ctx) => [{ dtype: 'int64', shape: [ctx.unknownDim(0), 3] }],
  gradient: 'none',
};
