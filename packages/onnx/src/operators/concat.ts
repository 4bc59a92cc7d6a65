import { addDims, differentDims } from '../shape/dim.js';
import { MAX_CONTENTS, printShape } from '../shape/shape.js';
import type { Operator } from './operator.js';

/** Joins values along one axis; the cotangent is cut into the same pieces. */
export const Concat: Operator = {
  op: 'Concat',
  since: 13,
  infer(ctx) {
    const indices = Array.from({ length: ctx.inputCount }, (_, i) => i);
    const first = ctx.shape(0);
    const axis = ctx.axis(ctx.node.attributes.int('axis') ?? ctx.fail("attribute 'axis' is missing"), first.length);
    const shapes = indices.map((i) => ctx.shape(i));
    for (const shape of shapes) {
      if (shape.length !== first.length || shape.some((dim, i) => i !== axis && differentDims(dim, first[i]))) {
        ctx.fail(`${printShape(first)} and ${printShape(shape)} cannot be joined along axis ${axis}`);
      }
    }
    // Where one input knows a dimension as a number, all have it.
    const shape = first.map((dim, i) =>
      i === axis
        ? shapes.map((each) => each[axis]).reduce(addDims)
        : (shapes.map((each) => each[i]).find((each) => typeof each === 'number') ?? dim),
    );
    const parts = indices.map((i) => ctx.contents(i));
    const known = parts.filter((part) => part !== undefined);
    const contents = first.length === 1 && known.length === parts.length ? known.flat() : undefined;
    return [
      {
        dtype: ctx.commonDtype(Infinity),
        shape,
        contents: contents && contents.length <= MAX_CONTENTS ? contents : undefined,
      },
    ];
  },
  gradient(ctx) {
    const { e } = ctx;
    if (ctx.inputCount === 1) return [ctx.grad()];
    const rank = ctx.shape(ctx.output()).length;
    const axis = ctx.node.attributes.int('axis', 0);
    const from = axis < 0 ? axis + rank : axis;
    const indices = Array.from({ length: ctx.inputCount }, (_, i) => i);
    const lengths = indices.map((i) => ctx.shape(ctx.input(i))[from]);
    const sizes = lengths.every((length) => typeof length === 'number')
      ? e.int64(lengths)
      : e.concat(
          indices.map((i) => e.node('Shape', [ctx.input(i)], { start: from, end: from + 1 })),
          0,
        );
    const parts = e.nodes('Split', [ctx.grad(), sizes], { axis: from }, ctx.inputCount);
    return indices.map((i) => (ctx.needs(i) ? parts[i] : undefined));
  },
};
