import type { Emitter } from '../../graph/emitter.js';
import type { Graph } from '../../graph/graph.js';
import type { Node } from '../../graph/node.js';
import type { Value } from '../../graph/value.js';
import { isDifferentiable } from '../../model/dtype.js';
import { isStatic, type Dim } from '../../shape/dim.js';
import { normalizeAxis, type Shape } from '../../shape/shape.js';
import type { GradientContext, Operator, UpgradeContext } from '../../entry/operator.js';
import { addBodyOutput, bodyOf, MOST_UNROLLED, recompute, sizeOf } from '../../entry/body.js';
import { productOfRows } from '../../entry/product.js';
import { stack } from '../../entry/stack.js';

/**
 * A body applied to one slice of the scanned inputs after the other, along with states that it passes on from step to
 * step; what else it computes is stacked. Short scans are written out.
 *
 * The backward pass is a scan from the last step to the first: its states are the cotangents of the states, and the sums
 * of those of the values that the body uses from outside. It computes each step again from the state before it.
 */
export const Scan: Operator = {
  op: 'Scan',
  since: 11,
  notes: `written out up to ${MOST_UNROLLED} nodes; steps are computed again in the backward pass`,
  infer(ctx) {
    const form = formOf(ctx);
    const { body, states } = form;
    const length = lengthOf(form, (i) => ctx.shape(states + i));
    return body.outputs.map(({ dtype, shape }, i) => {
      if (i < states) return { dtype, shape: ctx.shape(i) };
      return { dtype, shape: shape && withDim(shape, outputAxis(form, i - states, shape.length), length) };
    });
  },
  gradient: scanGradient,
  upgrade(ctx) {
    const { node } = ctx;
    if (ctx.opset === 8) return upgradeBatches(ctx);
    const form = formOf(ctx);
    const inputs = node.inputs.map((input) => input ?? ctx.fail('leaves out an input'));
    const shapes = inputs
      .slice(form.states)
      .map(({ name, shape }) => shape ?? ctx.fail(`reads '${name}' of unknown rank`));
    const length = lengthOf(form, (i) => shapes[i]);
    const size = isStatic(length) && length > 0 ? length * sizeOf(form.body) : Infinity;
    if (isStatic(length) && size <= MOST_UNROLLED && ctx.e.graph.budget.unroll(size)) {
      return unrolled(ctx, form, inputs, length);
    }
    ctx.upgradeBody(form.body, [
      ...inputs.slice(0, form.states).map(({ dtype, shape }) => ({ dtype, shape })),
      ...inputs
        .slice(form.states)
        .map(({ dtype }, i) => ({ dtype, shape: shapes[i].toSpliced(form.inputs[i].axis, 1) })),
    ]);
    return undefined;
  },
};

/** How a scanned input is read or a stacked output is written: along which axis, and whether from the end. */
interface Direction {
  readonly axis: number;
  readonly turned: boolean;
}

interface Form {
  readonly body: Graph;
  /** Number of states. */
  readonly states: number;
  readonly inputs: readonly Direction[];
  /** Axes may count from the end: the rank is known to the body only. */
  readonly outputs: readonly Direction[];
}

interface Context {
  readonly node: Node;
  fail(what: string): never;
}

function formOf(ctx: Context): Form {
  const { node } = ctx;
  const { attributes } = node;
  const body = bodyOf(ctx, 'body');
  const scanned = attributes.int('num_scan_inputs') ?? ctx.fail("lacks its attribute 'num_scan_inputs'");
  const states = node.inputs.length - scanned;
  if (scanned < 1 || states < 0 || body.inputs.length !== node.inputs.length || body.outputs.length < states) {
    return ctx.fail(`has ${node.inputs.length} inputs, ${scanned} of them scanned, which its body does not fit`);
  }
  const list = (name: string, count: number) => {
    const values = attributes.ints(name, []);
    return values.length === 0 ? new Array<number>(count).fill(0) : values;
  };
  const directions = (kind: string, count: number) => {
    const [axes, turns] = [list(`scan_${kind}_axes`, count), list(`scan_${kind}_directions`, count)];
    if (axes.length !== count || turns.length !== count)
      ctx.fail(`has axes or directions for other than ${count} ${kind}s`);
    return axes.map((axis, i): Direction => ({ axis, turned: turns[i] === 1 }));
  };
  return {
    body,
    states,
    inputs: directions('input', scanned).map(({ axis, turned }, i) => {
      const rank = node.inputs[states + i]?.shape?.length ?? axis + 1;
      return { axis: normalizeAxis(axis, rank) ?? ctx.fail(`scans axis ${axis} of a tensor of rank ${rank}`), turned };
    }),
    outputs: directions('output', body.outputs.length - states),
  };
}

/** The number of steps: the first known length of a scanned axis. */
function lengthOf({ inputs }: Form, shapeOf: (scanned: number) => Shape): Dim {
  const lengths = inputs.map(({ axis }, i) => shapeOf(i)[axis]);
  return lengths.find(isStatic) ?? lengths[0];
}

function outputAxis({ outputs }: Form, index: number, rank: number): number {
  const { axis } = outputs[index];
  return axis < 0 ? axis + rank + 1 : axis;
}

function withDim(shape: Shape, axis: number, dim: Dim): Shape {
  return shape.toSpliced(axis, 0, dim);
}

/** The steps one after the other, as nodes of the graph around. */
function unrolled(ctx: UpgradeContext, form: Form, inputs: readonly Value[], length: number): readonly Value[] {
  const { e } = ctx;
  const slices = form.inputs.map(({ axis, turned }, i) => {
    const parts = steps(e, inputs[form.states + i], axis, length);
    return turned ? parts.toReversed() : parts;
  });
  let state = inputs.slice(0, form.states);
  const stacks = form.outputs.map((): Value[] => []);
  for (let t = 0; t < length; t++) {
    const results = ctx.inline(form.body, [...state, ...slices.map((parts) => parts[t])]);
    state = results.slice(0, form.states);
    results.slice(form.states).forEach((value, k) => stacks[k].push(value));
  }
  return [
    ...state,
    ...stacks.map((values, k) => {
      const axis = outputAxis(form, k, values[0].shape?.length ?? 0);
      return stack(e, form.outputs[k].turned ? values.toReversed() : values, axis);
    }),
  ];
}

/** The slices along an axis, without it. */
function steps(e: Emitter, x: Value, axis: number, length: number): readonly Value[] {
  const parts = length === 1 ? [x] : e.nodes('Split', [x], { axis, num_outputs: length }, length);
  return parts.map((part) => e.squeeze(part, [axis]));
}

/** Opset 8 scans every sample of a batch, the first axis of everything, by itself; the second axis is the scanned one. */
function upgradeBatches(ctx: UpgradeContext): readonly Value[] {
  const { node, e } = ctx;
  if (node.inputs[0] !== undefined) ctx.fail('has lengths for its sequences, which only opset 8 knows');
  const directions = node.attributes.ints('directions');
  node.inputs.shift();
  node.attributes.delete('directions');
  if (directions !== undefined) node.attributes.set('scan_input_directions', directions);
  const form = formOf(ctx);
  const inputs = node.inputs.map((input) => input ?? ctx.fail('leaves out an input'));
  const [batch, length] = inputs.at(-1)?.shape ?? ctx.fail('scans a value of unknown rank');
  if (!isStatic(batch) || batch < 1 || !isStatic(length) || length < 1) {
    return ctx.fail(
      'is in the form of opset 8, which needs a fixed batch size and length; export the model with a later opset',
    );
  }
  if (batch * length * sizeOf(form.body) > MOST_UNROLLED) {
    ctx.fail(`would take more than ${MOST_UNROLLED} nodes to write out; export the model with a later opset`);
  }
  const samples = inputs.map((value) => steps(e, value, 0, batch));
  const results = Array.from({ length: batch }, (_, b) =>
    unrolled(
      ctx,
      form,
      samples.map((parts) => parts[b]),
      length,
    ),
  );
  return results[0].map((_, i) =>
    stack(
      e,
      results.map((values) => values[i]),
      0,
    ),
  );
}

function scanGradient(ctx: GradientContext): readonly (Value | undefined)[] {
  const { e, node, captures } = ctx;
  const form = formOf(ctx);
  const { body, states } = form;
  const isFloat = ({ dtype }: Value) => isDifferentiable(dtype);
  const carried = Array.from({ length: states }, (_, i) => i).filter((i) => isFloat(body.inputs[i]));
  const wanted = form.inputs.map((_, j) => j).filter((j) => ctx.needs(states + j));
  const stacked = form.outputs.map((_, k) => k).filter((k) => ctx.hasGrad(states + k));

  const inner = e.inside('backward');
  const step = inner.graph;
  const inputLike = ({ name, dtype, shape }: Value) => step.addInput(step.uniqueName(`${name}_step`), { dtype, shape });
  const arriving = carried.map((i) => inputLike(body.inputs[i]));
  const sums = captures.map(inputLike);
  const again = body.inputs.map(inputLike);
  const cotangents = stacked.map((k) => inputLike(body.outputs[states + k]));
  const values = new Map(body.inputs.map((input, i) => [input, again[i]]));
  const results = recompute(ctx, inner, body, values);
  const found = ctx.backward(
    inner,
    [
      ...carried.map((i, n) => [results[i], arriving[n]] as const),
      ...stacked.map((k, n) => [results[states + k], cotangents[n]] as const),
    ],
    [...carried.map((i) => again[i]), ...wanted.map((j) => again[states + j]), ...captures],
  );
  const of = (value: Value) => found.get(value) ?? inner.zerosLike(value);
  // A sum over the rows of every step is one over the rows of all: one product behind the loop, not one and a sum a step.
  const products = captures.map((value) => {
    const share = found.get(value);
    return share === undefined ? undefined : productOfRows(share);
  });
  const summed = captures.flatMap((_, n) => (products[n] === undefined ? [n] : []));
  const factors = [...new Set(products.flatMap((product) => product ?? []))];
  const totals = summed.map((n) => {
    const share = found.get(captures[n]);
    return share === undefined ? sums[n] : inner.add(sums[n], share);
  });
  const outgoing = [
    ...carried.map((i) => of(again[i])),
    ...totals,
    ...wanted.map((j) => of(again[states + j])),
    ...factors,
  ];
  for (const value of outgoing) addBodyOutput(step, value);
  step.removeDead();

  // What the steps need again: states from before them, which the forward pass has to keep, and scanned inputs.
  const used = new Set([...step.nodes.flatMap(({ inputs, captures: inside }) => [...inputs, ...inside])]);
  const kept = again.flatMap((value, i) => (i < states && used.has(value) ? [i] : []));
  const reread = form.inputs.map((_, j) => j).filter((j) => used.has(again[states + j]));
  const history = keepStates(ctx, form, kept);
  const scanned: readonly (Direction & { value: Value; at: Value })[] = [
    ...kept.map((i, n) => ({ value: again[i], at: history[n], axis: 0, turned: false })),
    ...reread.map((j) => ({ value: again[states + j], at: ctx.input(states + j), ...form.inputs[j] })),
    ...stacked.map((k, n) => {
      const value = cotangents[n];
      const { turned } = form.outputs[k];
      return { value, at: ctx.grad(states + k), axis: outputAxis(form, k, ctx.shape(value).length), turned };
    }),
  ];
  step.inputs.splice(
    0,
    step.inputs.length,
    ...arriving,
    ...summed.map((n) => sums[n]),
    ...scanned.map(({ value }) => value),
  );
  const stackedOutputs = wanted.length + factors.length;
  const outputs = e.control(
    'Scan',
    [
      ...carried.map((i) => ctx.grad(i)),
      ...summed.map((n) => e.zerosLike(captures[n])),
      ...scanned.map(({ at }) => at),
    ],
    { body: step },
    {
      num_scan_inputs: scanned.length,
      scan_input_axes: scanned.map(({ axis }) => axis),
      scan_input_directions: scanned.map(({ turned }) => Number(!turned)),
      scan_output_axes:
        stackedOutputs === 0 ? undefined : [...wanted.map((j) => form.inputs[j].axis), ...factors.map(() => 0)],
      scan_output_directions:
        stackedOutputs === 0
          ? undefined
          : [...wanted.map((j) => Number(!form.inputs[j].turned)), ...factors.map(() => 0)],
    },
    outgoing.length,
  );
  const [first, rest] = [outputs.slice(0, carried.length), outputs.slice(carried.length)];
  const rows = rest.slice(summed.length + wanted.length).map((stack) => flatRows(e, stack));
  const ofCaptures = captures.map((value, n) => {
    const product = products[n];
    if (product === undefined) return rest[summed.indexOf(n)];
    const [a, b] = product.map((factor) => rows[factors.indexOf(factor)]);
    return e.assume(e.gemm(a, b, { transA: true }), ctx.shape(value));
  });
  return [
    ...Array.from({ length: states }, (_, i) => first.at(carried.includes(i) ? carried.indexOf(i) : states)),
    ...form.inputs.map((_, j) =>
      wanted.includes(j)
        ? e.assume(rest[summed.length + wanted.indexOf(j)], ctx.shape(ctx.input(states + j)))
        : undefined,
    ),
    ...node.captures.map((value) => (captures.includes(value) ? ofCaptures[captures.indexOf(value)] : undefined)),
  ];
}

/** The rows of a stack of matrices, one matrix below the other. */
function flatRows(e: Emitter, stack: Value): Value {
  const columns = stack.shape?.at(-1);
  if (columns === undefined || !isStatic(columns)) {
    return e.node('Reshape', [stack, e.concat([e.int64([-1]), e.node('Shape', [stack], { start: -1 })], 0)]);
  }
  return e.reshape(stack, [-1, columns]);
}

/** Makes a scan stack some of its states as they were before each step; returns the stacks. */
function keepStates(ctx: GradientContext, { body, states, outputs }: Form, kept: readonly number[]): readonly Value[] {
  const { attributes } = ctx.node;
  const count = states + outputs.length;
  // Outputs come in order, so none before the new ones may be left out.
  for (let i = 0; i < count; i++) ctx.output(i);
  for (const i of kept) addBodyOutput(body, body.inputs[i]);
  for (const name of ['scan_output_axes', 'scan_output_directions']) {
    const values = attributes.ints(name, []);
    if (values.length > 0) attributes.set(name, [...values, ...kept.map(() => 0)]);
  }
  return kept.map((_, n) => ctx.output(count + n));
}
