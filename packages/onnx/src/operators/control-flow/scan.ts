import type { Emitter } from '../../graph/emitter.js';
import type { Graph } from '../../graph/graph.js';
import type { Node } from '../../graph/node.js';
import type { Value } from '../../graph/value.js';
import { isDifferentiable } from '../../model/dtype.js';
import { isStatic, type Dim } from '../../shape/dim.js';
import { normalizeAxis, type Shape } from '../../shape/shape.js';
import type { GradientContext, Operator, UpgradeContext } from '../../entry/operator.js';
import { addBodyOutput, bodyOf, MOST_UNROLLED, recompute, scan, sizeOf, type Direction } from '../../entry/body.js';
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
  const paths = pathsOf(ctx, form);
  const step = backwardStep(ctx, form, paths);
  const found = scanBackwards(ctx, form, paths, step);
  const rows = found.factors.map((stack) => flatRows(e, stack));
  const ofCaptures = new Map(
    captures.map((value) => {
      const product = step.products.get(value);
      if (product === undefined) return [value, found.sums.get(value)];
      const [a, b] = product.map((factor) => rows[step.factors.indexOf(factor)]);
      return [value, e.assume(e.gemm(a, b, { transA: true }), ctx.shape(value))];
    }),
  );
  return [
    ...Array.from({ length: form.states }, (_, i) => found.states.get(i)),
    ...form.inputs.map((_, j) => {
      const slices = found.scanned.get(j);
      return slices && e.assume(slices, ctx.shape(ctx.input(form.states + j)));
    }),
    ...node.captures.map((value) => ofCaptures.get(value)),
  ];
}

/** What a gradient goes through, by the places among states, scanned inputs and stacked outputs. */
interface Paths {
  /** States that are floats. */
  readonly carried: readonly number[];
  /** Scanned inputs whose cotangent is wanted. */
  readonly wanted: readonly number[];
  /** Stacked outputs whose cotangent is given. */
  readonly stacked: readonly number[];
}

function pathsOf(ctx: GradientContext, { body, states, inputs, outputs }: Form): Paths {
  const where = (count: number, holds: (index: number) => boolean) =>
    Array.from({ length: count }, (_, i) => i).filter(holds);
  return {
    carried: where(states, (i) => isDifferentiable(body.inputs[i].dtype)),
    wanted: where(inputs.length, (j) => ctx.needs(states + j)),
    stacked: where(outputs.length, (k) => ctx.hasGrad(states + k)),
  };
}

/** A step of the backward pass: one of the forward pass computed again, and its gradient. */
interface BackwardStep {
  /** Puts out the cotangents of states, sums, the cotangents of slices, factors. Its inputs are yet to be chosen of those below. */
  readonly body: Graph;
  /** The cotangents of the states after the step. */
  readonly arriving: readonly Value[];
  /** For values that the forward body uses from outside: the sum of their cotangents over the steps after this one. */
  readonly sums: ReadonlyMap<Value, Value>;
  /** What the forward body takes: states and slices. */
  readonly again: readonly Value[];
  /** The cotangents of what the step adds to the stacked outputs. */
  readonly cotangents: readonly Value[];
  /**
   * For the other values from outside: factors of their cotangent in this step, which is a sum over rows. That of every step is
   * one over the rows of all: one product behind the loop, not one and a sum a step.
   */
  readonly products: ReadonlyMap<Value, readonly [a: Value, b: Value]>;
  readonly factors: readonly Value[];
}

function backwardStep(ctx: GradientContext, form: Form, { carried, wanted, stacked }: Paths): BackwardStep {
  const { captures } = ctx;
  const { body, states } = form;
  const inner = ctx.e.inside('backward');
  const { graph } = inner;
  const inputLike = ({ name, dtype, shape }: Value) =>
    graph.addInput(graph.uniqueName(`${name}_step`), { dtype, shape });
  const arriving = carried.map((i) => inputLike(body.inputs[i]));
  const sums = new Map(captures.map((value) => [value, inputLike(value)]));
  const again = body.inputs.map(inputLike);
  const cotangents = stacked.map((k) => inputLike(body.outputs[states + k]));

  const results = recompute(ctx, inner, body, new Map(body.inputs.map((input, i) => [input, again[i]])));
  const found = ctx.backward(
    inner,
    [
      ...carried.map((i, n) => [results[i], arriving[n]] as const),
      ...stacked.map((k, n) => [results[states + k], cotangents[n]] as const),
    ],
    [...carried.map((i) => again[i]), ...wanted.map((j) => again[states + j]), ...captures],
  );
  const products = new Map<Value, readonly [Value, Value]>();
  for (const value of captures) {
    const share = found.get(value);
    const product = share && productOfRows(share);
    if (product === undefined) continue;
    products.set(value, product);
    sums.delete(value);
  }
  const factors = [...new Set([...products.values()].flat())];
  const totals = [...sums].map(([value, sum]) => {
    const share = found.get(value);
    return share === undefined ? sum : inner.add(sum, share);
  });
  const of = (value: Value) => found.get(value) ?? inner.zerosLike(value);
  const outgoing = [
    ...carried.map((i) => of(again[i])),
    ...totals,
    ...wanted.map((j) => of(again[states + j])),
    ...factors,
  ];
  for (const value of outgoing) addBodyOutput(graph, value);
  graph.removeDead();
  return { body: graph, arriving, sums, again, cotangents, products, factors };
}

/** What a scan from the last step to the first gives. */
interface Backward {
  /** The cotangents of states, and of scanned inputs, by their places. */
  readonly states: ReadonlyMap<number, Value>;
  readonly scanned: ReadonlyMap<number, Value>;
  /** Sums over all steps, by value. */
  readonly sums: ReadonlyMap<Value, Value>;
  /** {@link BackwardStep.factors} of all steps, stacked. */
  readonly factors: readonly Value[];
}

function scanBackwards(ctx: GradientContext, form: Form, paths: Paths, step: BackwardStep): Backward {
  const { e } = ctx;
  const { states } = form;
  const { carried, wanted, stacked } = paths;
  const { body, arriving, sums, again, cotangents, factors } = step;
  // What the steps need again: states from before them, which the forward pass has to keep, and scanned inputs.
  const used = new Set(body.nodes.flatMap(({ reads }) => reads));
  const kept = again.flatMap((value, i) => (i < states && used.has(value) ? [i] : []));
  const reread = form.inputs.map((_, j) => j).filter((j) => used.has(again[states + j]));
  const history = keepStates(ctx, form, kept);
  const read: readonly (Direction & { inner: Value; outer: Value })[] = [
    ...kept.map((i, n) => ({ inner: again[i], outer: history[n], axis: 0, turned: true })),
    ...reread.map((j) => ({ inner: again[states + j], outer: ctx.input(states + j), ...turned(form.inputs[j]) })),
    ...stacked.map((k, n) => {
      const inner = cotangents[n];
      const axis = outputAxis(form, k, ctx.shape(inner).length);
      return { inner, outer: ctx.grad(states + k), ...turned({ ...form.outputs[k], axis }) };
    }),
  ];
  body.inputs.splice(0, body.inputs.length, ...arriving, ...sums.values(), ...read.map(({ inner }) => inner));
  const outputs = scan(
    e,
    body,
    [...carried.map((i) => ctx.grad(i)), ...Array.from(sums.keys(), (value) => e.zerosLike(value))],
    read,
    [...wanted.map((j) => turned(form.inputs[j])), ...factors.map(() => ({ axis: 0, turned: false }))],
  );
  // In the order in which a step puts them out.
  let at = 0;
  const next = <K>(keys: Iterable<K>) => new Map(Array.from(keys, (key) => [key, outputs[at++]]));
  return {
    states: next(carried),
    sums: next(sums.keys()),
    scanned: next(wanted),
    factors: [...next(factors).values()],
  };
}

/** From the last step to the first, or from the first to the last. */
function turned(direction: Direction): Direction {
  return { ...direction, turned: !direction.turned };
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
