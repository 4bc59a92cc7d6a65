import type { Emitter } from '../../graph/emitter.js';
import type { Value } from '../../graph/value.js';
import { differentDims, isStatic, multiplyDims, type Dim } from '../../shape/dim.js';
import { printShape } from '../../shape/shape.js';
import { addBodyOutput, scan } from '../body.js';
import { dropping } from '../older-form.js';
import type { DefinitionContext, GradientContext, Operator } from '../operator.js';
import { BIAS, DATA, role, SETTING, STATE } from '../role.js';
import { activationsOf } from './activations.js';
import { alongTime, inRows, throughTime, type Cotangents, type ThroughTime } from './through-time.js';

const WEIGHTS = role('weight', 'weights of a layer');

/** What a step of a recurrent cell is written with; matrices are [batch, …]. */
export interface Step {
  readonly e: Emitter;
  readonly ctx: DefinitionContext;
  /** x Wᵀ and both biases, one value a group of gates; without the recurrent bias for gates that ask for it alone. */
  readonly projected: readonly Value[];
  /** The hidden state (and for LSTM the cell state) before the step. */
  readonly state: readonly Value[];
  /** R of each group of gates, transposed: [hidden, gates·hidden]. */
  readonly recurrent: readonly Value[];
  /** The recurrent bias of each gate, where the node has biases. */
  readonly recurrentBias: readonly Value[] | undefined;
  /** Peephole weights, one vector a gate. */
  readonly peepholes: readonly Value[] | undefined;
  /** Applies activation `index` of this direction; the input of the first two, those of gates, is clipped. */
  activate(index: number, x: Value): Value;
  /** Takes a group apart into pieces of so many gates each. */
  apart(x: Value, counts: readonly number[]): readonly Value[];
}

export interface Cell {
  readonly op: string;
  /** How many gates are computed by one product, group by group. */
  readonly groups: readonly number[];
  /** Default activations of one direction. */
  readonly activations: readonly string[];
  /** Whether there is a cell state beside the hidden state. */
  readonly hasCell: boolean;
  /** Gates whose recurrent bias the step adds itself. */
  readonly separateBias?: (ctx: DefinitionContext) => readonly number[];
  /** The state after a step. */
  readonly step: (step: Step) => readonly Value[];
  /** The backward pass of all steps, for nodes whose sequences are all of one length and that have no peepholes. */
  readonly backward: (way: ThroughTime) => Cotangents;
}

/**
 * A recurrent network over X [time, batch, input] (or [batch, time, input] with layout 1), in one or both directions.
 * Its gradient goes through the steps written out, or through a Scan over them where their number is free or large.
 */
export function recurrent(cell: Cell): Operator {
  return {
    op: cell.op,
    since: 14,
    roles: [DATA, WEIGHTS, WEIGHTS, BIAS, SETTING, STATE, ...(cell.hasCell ? [STATE, WEIGHTS] : [])],
    mixes: true,
    early: [dropping(7, 'output_sequence')],
    notes:
      'cell states (with peepholes or lengths, all states) are computed again in the backward pass, in a Scan where the ' +
      'number of steps is free or large',
    upgrade({ node }) {
      // ONNX leaves it out where it likes, ONNX Runtime does not.
      const hidden = node.inputs[2]?.shape?.[2];
      if (!node.attributes.has('hidden_size') && hidden !== undefined && isStatic(hidden)) {
        node.attributes.set('hidden_size', hidden);
      }
      return undefined;
    },
    infer(ctx) {
      const { attributes } = ctx.node;
      const [x, weights, recurrence] = [ctx.shape(0), ctx.shape(1), ctx.shape(2)];
      if (x.length !== 3 || weights.length !== 3 || recurrence.length !== 3) {
        ctx.fail(`it takes values of rank 3, got ${[x, weights, recurrence].map(printShape).join(', ')}`);
      }
      const batchFirst = attributes.int('layout', 0) === 1;
      const [time, batch] = batchFirst ? [x[1], x[0]] : x;
      const hidden = recurrence[2];
      const fit =
        ctx.same(weights[1], multiplyDims(hidden, gatesOf(cell))) !== undefined &&
        ctx.same(weights[2], x[2]) !== undefined;
      if (!fit) {
        ctx.fail(`weights ${printShape(weights)} do not fit ${String(x[2])} inputs and ${String(hidden)} hidden units`);
      }
      const directions = directionsOf(attributes.string('direction', 'forward'));
      // The first states (and lengths) are of the same batch.
      const sized = [
        { index: 4, axis: 0 },
        { index: 5, axis: batchFirst ? 0 : 1 },
        ...(cell.hasCell ? [{ index: 6, axis: batchFirst ? 0 : 1 }] : []),
      ];
      for (const { index, axis } of sized) {
        if (!ctx.has(index)) continue;
        const shape = ctx.shape(index);
        if (ctx.same(batch, shape[axis]) === undefined) {
          ctx.fail(
            `its input '${ctx.input(index).name}' ${printShape(shape)} does not fit the batch of ${printShape(x)}`,
          );
        }
        // PyTorch's exporter writes cell states of another size for proj_size, which ONNX cannot express.
        if (index > 4 && ctx.same(hidden, shape[2]) === undefined) {
          ctx.fail(
            `its state '${ctx.input(index).name}' ${printShape(shape)} does not fit ${String(hidden)} hidden units; ` +
              'ONNX has no projected states (proj_size): export the projection as a layer of its own',
          );
        }
      }
      const said = attributes.int('hidden_size');
      if (said !== undefined && differentDims(hidden, said)) {
        ctx.fail(`hidden_size is ${said}, but its weights are for ${String(hidden)} hidden units`);
      }
      const dtype = ctx.dtype(0);
      const last = { dtype, shape: batchFirst ? [batch, directions, hidden] : [directions, batch, hidden] };
      const all = batchFirst ? [batch, time, directions, hidden] : [time, directions, batch, hidden];
      return [{ dtype, shape: all }, last, ...(cell.hasCell ? [last] : [])];
    },
    gradient: (ctx) => stepwise(cell, ctx) ?? ctx.pullback((inner) => define(cell, inner)),
    define: (ctx) => define(cell, ctx),
  };
}

function gatesOf({ groups }: Cell): number {
  return groups.reduce((sum, count) => sum + count, 0);
}

function directionsOf(direction: string): number {
  return direction === 'bidirectional' ? 2 : 1;
}

/** The gradient with the forward pass's part of all steps at once; undefined for what goes through the definition. */
function stepwise(cell: Cell, ctx: GradientContext): readonly (Value | undefined)[] | undefined {
  if (ctx.has(4) || ctx.has(7) || ctx.node.attributes.int('layout', 0) === 1) return undefined;
  const [time, , width] = ctx.shape(ctx.input(0));
  const hidden = ctx.shape(ctx.input(2))[2];
  if (!isStatic(time) || time > MOST_LEAN_STEPS || !isStatic(width) || !isStatic(hidden)) return undefined;
  const clip = ctx.node.attributes.float('clip', Infinity);
  const functions = [0, 1].map((direction) => activationsOf(ctx, cell.activations, direction));
  return throughTime(ctx, cell.backward, {
    gates: gatesOf(cell),
    states: cell.hasCell ? 2 : 1,
    time,
    hidden,
    separate: cell.separateBias?.(ctx) ?? [],
    activate: (direction, index, x) => functions[direction][index](ctx.e, index < 2 ? clipped(ctx.e, x, clip) : x),
  });
}

function define(cell: Cell, ctx: DefinitionContext): readonly Value[] {
  const { e, node } = ctx;
  const batchFirst = node.attributes.int('layout', 0) === 1;
  const x = batchFirst ? e.transpose(ctx.input(0), [1, 0, 2]) : ctx.input(0);
  const direction = node.attributes.string('direction', 'forward');
  const ways = Array.from({ length: directionsOf(direction) }, (_, d) =>
    run(cell, ctx, { x, direction: d, backward: direction === 'reverse' || d === 1 }),
  );
  const all = e.concat(
    ways.map(({ outputs }) => e.unsqueeze(outputs, [1])),
    1,
  );
  const last = ways[0].state.map((_, i) =>
    e.concat(
      ways.map(({ state }) => e.unsqueeze(state[i], [0])),
      0,
    ),
  );
  if (!batchFirst) return [all, ...last];
  return [e.transpose(all, [2, 0, 1, 3]), ...last.map((state) => e.transpose(state, [1, 0, 2]))];
}

interface Way {
  /** [time, batch, input] */
  readonly x: Value;
  /** Index into the first axis of the weights. */
  readonly direction: number;
  readonly backward: boolean;
}

/** One direction: the hidden states after all steps, [time, batch, hidden] in the order of time, and the last state. */
function run(cell: Cell, ctx: DefinitionContext, way: Way): { outputs: Value; state: readonly Value[] } {
  const { e } = ctx;
  const gates = gatesOf(cell);
  const ofDirection = (value: Value, axis = 0) => {
    const { direction } = way;
    return e.squeeze(e.slice(value, { starts: [direction], ends: [direction + 1], axes: [axis] }), [axis]);
  };
  const given = (index: number) => (ctx.has(index) ? ctx.input(index) : undefined);
  const hidden = ctx.shape(ctx.input(2))[2];
  const byGate = (value: Value, count = gates) => split(e, value, 0, count);

  const weights = ofDirection(ctx.input(1));
  const recurrence = apart(e, ofDirection(ctx.input(2)), 0, cell.groups, hidden).map((matrix) =>
    e.transpose(matrix, [1, 0]),
  );
  const biases = given(3) && byGate(ofDirection(ctx.input(3)), 2 * gates);
  const separate = cell.separateBias?.(ctx) ?? [];
  const inputs = e.matMul(way.x, e.transpose(weights, [1, 0]));
  const peepholes = given(7) && byGate(ofDirection(ctx.input(7)), 3);
  const bias =
    biases &&
    e.concat(
      biases.slice(0, gates).map((own, g) => (separate.includes(g) ? own : e.add(own, biases[gates + g]))),
      0,
    );
  const projected = apart(e, bias === undefined ? inputs : e.add(inputs, bias), 2, cell.groups, hidden);

  const batchFirst = ctx.node.attributes.int('layout', 0) === 1;
  const initial = (index: number) => {
    const value = given(index);
    if (value !== undefined) return ofDirection(value, batchFirst ? 1 : 0);
    const lengths = e.concat(
      [e.node('Shape', [way.x], { start: 1, end: 2 }), e.node('Shape', [ctx.input(2)], { start: 2 })],
      0,
    );
    const zeros = e.node('Expand', [e.scalar(0, way.x), lengths]);
    return e.assume(zeros, [ctx.shape(way.x)[1], hidden]);
  };
  const state = cell.hasCell ? [initial(5), initial(6)] : [initial(5)];
  const functions = activationsOf(ctx, cell.activations, way.direction);
  const clip = ctx.node.attributes.float('clip', Infinity);
  const lengths = given(4);
  const advance: Advance = (inner, gatesNow, before, t) => {
    const next = cell.step({
      e: inner,
      ctx,
      projected: gatesNow,
      state: before,
      recurrent: recurrence,
      recurrentBias: biases?.slice(gates),
      peepholes,
      activate: (index, x) => functions[index](inner, index < 2 ? clipped(inner, x, clip) : x),
      apart: (x, counts) => apart(inner, x, 1, counts, hidden),
    });
    if (lengths === undefined) return { state: next, output: next[0] };
    // Beyond the end of a sequence the state waits and the output is 0.
    const runs = inner.unsqueeze(inner.less(t, lengths), [1]);
    return {
      state: next.map((value, k) => inner.where(runs, value, before[k])),
      output: inner.where(runs, next[0], inner.scalar(0, next[0])),
    };
  };
  const time = ctx.shape(way.x)[0];
  return isStatic(time) && time <= MOST_STEPS
    ? unrolled(e, advance, projected, state, time, way.backward)
    : scanned(e, advance, projected, state, way.backward);
}

/** More steps than this are a Scan: a session over many nodes takes long to create. */
const MOST_STEPS = 64;

/** The same for steps of few nodes. */
const MOST_LEAN_STEPS = 256;

/** One step from the projected inputs of step t (an int32 scalar) and the state before it. */
type Advance = (
  e: Emitter,
  projected: readonly Value[],
  state: readonly Value[],
  t: Value,
) => { readonly state: readonly Value[]; readonly output: Value };

function unrolled(
  e: Emitter,
  advance: Advance,
  projected: readonly Value[],
  initial: readonly Value[],
  time: number,
  backward: boolean,
): ReturnType<typeof run> {
  const steps = projected.map((gates) => stepsOf(e, gates, time));
  let state = initial;
  const outputs: Value[] = [];
  for (let i = 0; i < time; i++) {
    const t = backward ? time - 1 - i : i;
    const step = advance(
      e,
      steps.map((gates) => gates[t]),
      state,
      e.scalar(t, 'int32'),
    );
    state = step.state;
    outputs[t] = e.unsqueeze(step.output, [0]);
  }
  return { outputs: e.concat(outputs, 0), state };
}

/** The matrices of the steps of [time, batch, …], taken apart as rows of one matrix, which needs no node for each. */
function stepsOf(e: Emitter, x: Value, time: number): readonly Value[] {
  const [, batch, length] = x.shape ?? [];
  if (time === 1 || !isStatic(length)) return split(e, x, 0, time).map((step) => e.squeeze(step, [0]));
  return alongTime(e, inRows(e, x, length, multiplyDims(time, batch)), time, batch);
}

function scanned(
  e: Emitter,
  advance: Advance,
  projected: readonly Value[],
  initial: readonly Value[],
  backward: boolean,
): ReturnType<typeof run> {
  const inner = e.inside('step');
  const { graph } = inner;
  const length = e.squeeze(e.node('Shape', [projected[0]], { start: 0, end: 1 }), [0]);
  const numbers = e.cast(e.node('Range', [e.scalar(0, 'int64'), length, e.scalar(1, 'int64')]), 'int32');
  const inputs = [
    ...initial,
    ...[...projected, numbers].map(({ dtype, shape }) => ({ dtype, shape: shape?.slice(1) })),
  ];
  const values = inputs.map(({ dtype, shape }, i) =>
    graph.addInput(graph.uniqueName(`${graph.name}/input${i}`), { dtype, shape }),
  );
  const count = initial.length;
  const { state, output } = advance(inner, values.slice(count, -1), values.slice(0, count), values[values.length - 1]);
  for (const value of [...state, output]) addBodyOutput(graph, value);
  const along = { axis: 0, turned: backward };
  const read = [...projected, numbers].map((outer) => ({ ...along, outer }));
  const results = scan(e, graph, initial, read, [along]);
  return { outputs: results[count], state: results.slice(0, count) };
}

function clipped(e: Emitter, x: Value, limit: number): Value {
  return limit === Infinity ? x : e.node('Clip', [x, e.scalar(-limit, x), e.scalar(limit, x)]);
}

/** Pieces of so many gates each. */
function apart(e: Emitter, x: Value, axis: number, counts: readonly number[], hidden: Dim): readonly Value[] {
  if (counts.length === 1) return [x];
  if (counts.every((count) => count === counts[0])) return split(e, x, axis, counts.length);
  if (isStatic(hidden)) {
    return e.nodes('Split', [x, e.int64(counts.map((count) => count * hidden))], { axis }, counts.length);
  }
  const gates = split(
    e,
    x,
    axis,
    counts.reduce((a, b) => a + b),
  );
  let from = 0;
  return counts.map((count) => e.concat(gates.slice(from, (from += count)), axis));
}

function split(e: Emitter, x: Value, axis: number, count: number): readonly Value[] {
  return count === 1 ? [x] : e.nodes('Split', [x], { axis, num_outputs: count }, count);
}
