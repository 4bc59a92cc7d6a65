import { OnnxError } from '../../error.js';
import { copiedGraph, copiedNodes, type Substitution } from '../../graph/copy.js';
import { Graph } from '../../graph/graph.js';
import type { Value } from '../../graph/value.js';
import { equalDims, isStatic, type Dim } from '../../shape/dim.js';
import { equalShapes, type Shape } from '../../shape/shape.js';
import type { Operator, UpgradeContext } from '../../entry/operator.js';
import { addBodyOutput, bodyOf, eitherShape, MOST_UNROLLED, sizeOf } from '../../entry/body.js';
import { stack } from '../../entry/stack.js';

/**
 * A body applied again and again to what it returned. Where it is known before the model runs when that ends, the steps
 * are written out; where only the number of steps is read from the data, it is a Scan over 0, 1, 2, …
 */
export const Loop: Operator = {
  op: 'Loop',
  since: 16,
  shape: 'values',
  notes: `written out up to ${MOST_UNROLLED} nodes, or a Scan; no gradient where the condition depends on the data`,
  infer(ctx) {
    const body = bodyOf(ctx, 'body');
    const carried = ctx.inputCount - 2;
    const count = tripCount(ctx.has(0) ? ctx.input(0) : undefined);
    const steps = count !== undefined && alwaysContinues(body) ? count : ctx.unknownDim(0);
    return body.outputs.slice(1).map(({ dtype, shape }, i) => {
      if (i >= carried) return { dtype, shape: shape && [steps, ...shape] };
      return { dtype, shape: eitherShape(shape, ctx.input(2 + i).shape, () => ctx.unknownDim(0)) };
    });
  },
  gradient: 'none',
  obstacle: {
    what: 'how often the loop runs depends on the data, or the shapes of what it carries change',
    hint: 'export the model with a fixed number of steps, or freeze the parameters before it',
  },
  upgrade(ctx) {
    const body = bodyOf(ctx, 'body');
    const { node } = ctx;
    const carried = node.inputs.slice(2).map((value) => value ?? ctx.fail('leaves out a value that it carries'));
    if (body.inputs.length !== carried.length + 2 || body.outputs.length <= carried.length) {
      return ctx.fail(`carries ${carried.length} values, which its body does not fit`);
    }
    const results = unrolled(ctx, body, carried) ?? asScan(ctx, body, carried);
    if (results === undefined) keep(ctx, body, carried);
    return results;
  },
};

function known(value: Value | undefined): number | undefined {
  const element = value?.contents?.[0] ?? value?.constant?.toNumbers()[0];
  return element === undefined || !isStatic(element) ? undefined : element;
}

/** The first input, as far as it is known. */
function tripCount(value: Value | undefined): Dim | undefined {
  return value?.contents?.[0] ?? known(value);
}

/** The steps one after the other; undefined when it is not known how many there are, or they are too many. */
function unrolled(ctx: UpgradeContext, body: Graph, initial: readonly Value[]): readonly Value[] | undefined {
  const { e, node } = ctx;
  const [limit, condition] = node.inputs;
  const most = limit === undefined ? Infinity : known(limit);
  let goesOn = condition === undefined ? 1 : known(condition);
  if (most === undefined || goesOn === undefined) return undefined;
  if (most === Infinity && alwaysContinues(body)) throw new OnnxError('invalid-node', `${node.label} never ends`);
  const size = Math.max(sizeOf(body), 1);
  if (alwaysContinues(body) && most * size > MOST_UNROLLED) return undefined;
  let state = initial;
  const stacks = body.outputs.slice(1 + initial.length).map((): Value[] => []);
  for (let i = 0; i < most && goesOn !== 0; i++) {
    if ((i + 1) * size > MOST_UNROLLED || !e.graph.budget.unroll(size)) return undefined;
    const [next, ...values] = ctx.inline(body, [e.scalar(i, 'int64'), e.scalar(1, 'bool'), ...state]);
    goesOn = known(next);
    // What has been written out so far is left to whoever removes what nothing uses.
    if (goesOn === undefined) return undefined;
    state = values.slice(0, initial.length);
    values.slice(initial.length).forEach((value, k) => stacks[k].push(value));
  }
  if (stacks.some((values) => values.length === 0)) return undefined;
  return [...state, ...stacks.map((values) => stack(e, values, 0))];
}

/** Whether a body hands its condition on, or always says to go on. */
function alwaysContinues(body: Graph): boolean {
  let condition = body.outputs[0];
  while (condition.producer?.key === 'Identity' && body.owns(condition)) {
    condition = condition.producer.inputs[0] ?? condition;
  }
  return condition === body.inputs[1] || known(condition) === 1;
}

/** A loop of as many steps as an input says, over values of fixed shapes. */
function asScan(ctx: UpgradeContext, body: Graph, initial: readonly Value[]): readonly Value[] | undefined {
  const { e, node } = ctx;
  const [limit, condition] = node.inputs;
  const starts = condition === undefined || known(condition) === 1;
  if (limit === undefined || !starts || !alwaysContinues(body)) return undefined;
  const step = new Graph(e.graph.uniqueName(`${node.name}/scan`), e.graph);
  const [count, going, ...before] = body.inputs;
  const values: Substitution = new Map([[going, e.scalar(1, 'bool')]]);
  for (const input of [...before, count]) {
    values.set(input, step.addInput(step.uniqueName(`${step.name}/${input.name}`), { dtype: input.dtype }));
  }
  for (const inner of copiedNodes(body, step, values, step.name)) step.addNode(inner);
  for (const value of body.outputs.slice(1)) addBodyOutput(step, values.get(value) ?? value);
  ctx.upgradeBody(step, [...initial.map(({ dtype, shape }) => ({ dtype, shape })), { dtype: 'int64', shape: [] }]);
  const isFixed = initial.every(({ shape }, i) => {
    const after = step.outputs[i].shape;
    return shape !== undefined && after !== undefined && equalShapes(shape, after);
  });
  if (!isFixed) return undefined;
  const single = e.squeeze(e.reshape(limit, [1]), [0]);
  const numbers = e.node('Range', [e.scalar(0, 'int64'), single, e.scalar(1, 'int64')]);
  return e.control('Scan', [...initial, numbers], { body: step }, { num_scan_inputs: 1 }, step.outputs.length);
}

/**
 * The loop as it is, at the target opset. Shapes that a step changes are open: with them the body is inferred once more,
 * until they hold.
 */
function keep(ctx: UpgradeContext, body: Graph, initial: readonly Value[]): void {
  const { node, e } = ctx;
  const { graph } = e;
  const open = new Set<Dim>();
  let shapes = initial.map(({ shape }) => shape);
  for (;;) {
    const trial = copiedGraph(body, graph, new Map(), node.name);
    ctx.upgradeBody(trial, [
      { dtype: 'int64', shape: [] },
      { dtype: 'bool', shape: [] },
      ...initial.map(({ dtype }, i) => ({ dtype, shape: shapes[i] })),
    ]);
    const before = shapes;
    shapes = before.map((shape, i) => {
      const after = trial.outputs[1 + i].shape;
      if (shape === undefined || after?.length !== shape.length) return undefined;
      return shape.map((dim, axis) => {
        if (open.has(dim) || equalDims(dim, after[axis])) return dim;
        const opened = graph.unknownDim(0);
        open.add(opened);
        return opened;
      });
    });
    if (same(before, shapes)) {
      node.bodies.set('body', trial);
      return;
    }
  }
}

function same(a: readonly (Shape | undefined)[], b: readonly (Shape | undefined)[]): boolean {
  return a.every((shape, i) => {
    const other = b[i];
    return shape === undefined || other === undefined ? shape === other : equalShapes(shape, other);
  });
}
