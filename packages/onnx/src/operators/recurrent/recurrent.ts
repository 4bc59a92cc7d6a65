import type { Emitter } from '../../graph/emitter.js';
import type { Value } from '../../graph/value.js';
import { isStatic, multiplyDims, differentDims } from '../../shape/dim.js';
import { printShape } from '../../shape/shape.js';
import type { DefinitionContext, Operator } from '../operator.js';

/** What a step of a recurrent cell is written with; matrices are [batch, …]. */
export interface Step {
  readonly e: Emitter;
  readonly ctx: DefinitionContext;
  /** x Wᵀ and both biases, one value a gate; without the recurrent bias for gates that ask for it alone. */
  readonly projected: readonly Value[];
  /** The hidden state (and for LSTM the cell state) before the step. */
  readonly state: readonly Value[];
  /** R of each gate, transposed: [hidden, hidden]. */
  readonly recurrent: readonly Value[];
  /** The recurrent bias of each gate, where the node has biases. */
  readonly recurrentBias: readonly Value[] | undefined;
  /** Peephole weights, one vector a gate. */
  readonly peepholes: readonly Value[] | undefined;
  /** Applies activation `index` of this direction. */
  activate(index: number, x: Value): Value;
}

export interface Cell {
  readonly op: string;
  readonly gates: number;
  /** Default activations of one direction. */
  readonly activations: readonly string[];
  /** Whether there is a cell state beside the hidden state. */
  readonly hasCell: boolean;
  /** Gates whose recurrent bias the step adds itself. */
  readonly separateBias?: (ctx: DefinitionContext) => readonly number[];
  /** The state after a step. */
  readonly step: (step: Step) => readonly Value[];
}

/** Activations without parameters that have an operator of their name. */
const ACTIVATIONS: readonly string[] = ['Sigmoid', 'Tanh', 'Relu', 'Softsign', 'Softplus'];

/**
 * A recurrent network over X [time, batch, input] (or [batch, time, input] with layout 1), in one or both directions.
 * Its gradient goes through the unrolled steps, so the number of steps must be known; states are computed again.
 */
export function recurrent(cell: Cell): Operator {
  return {
    op: cell.op,
    since: 14,
    notes: 'gradient and layout 1 with a fixed number of steps; no clipping',
    infer(ctx) {
      const { attributes } = ctx.node;
      const [x, weights, recurrence] = [ctx.shape(0), ctx.shape(1), ctx.shape(2)];
      if (x.length !== 3 || weights.length !== 3 || recurrence.length !== 3) {
        ctx.fail(`it takes values of rank 3, got ${[x, weights, recurrence].map(printShape).join(', ')}`);
      }
      const batchFirst = attributes.int('layout', 0) === 1;
      const [time, batch] = batchFirst ? [x[1], x[0]] : x;
      const hidden = recurrence[2];
      if (differentDims(weights[1], multiplyDims(hidden, cell.gates)) || differentDims(weights[2], x[2])) {
        ctx.fail(`weights ${printShape(weights)} do not fit ${String(x[2])} inputs and ${String(hidden)} hidden units`);
      }
      const directions = directionsOf(attributes.string('direction', 'forward'));
      const dtype = ctx.dtype(0);
      const last = { dtype, shape: batchFirst ? [batch, directions, hidden] : [directions, batch, hidden] };
      const all = batchFirst ? [batch, time, directions, hidden] : [time, directions, batch, hidden];
      return [{ dtype, shape: all }, last, ...(cell.hasCell ? [last] : [])];
    },
    gradient: (ctx) => ctx.pullback((inner) => unrolled(cell, inner)),
    // ONNX Runtime executes neither layout 1 nor double precision.
    decompose: (ctx) =>
      ctx.input(0).dtype === 'float32' && ctx.node.attributes.int('layout', 0) === 0 ? undefined : unrolled(cell, ctx),
  };
}

function directionsOf(direction: string): number {
  return direction === 'bidirectional' ? 2 : 1;
}

function unrolled(cell: Cell, ctx: DefinitionContext): readonly Value[] {
  const { e, node } = ctx;
  if (node.attributes.has('clip')) ctx.fail("attribute 'clip' is not supported; export the model without it");
  const batchFirst = node.attributes.int('layout', 0) === 1;
  const x = batchFirst ? e.transpose(ctx.input(0), [1, 0, 2]) : ctx.input(0);
  const time = ctx.shape(x)[0];
  if (!isStatic(time)) {
    return ctx.fail('its number of steps is free, but its gradient is unrolled; export the model with a fixed length');
  }
  const direction = node.attributes.string('direction', 'forward');
  const ways = Array.from({ length: directionsOf(direction) }, (_, d) =>
    run(cell, ctx, { x, time, direction: d, backward: direction === 'reverse' || d === 1 }),
  );
  const all = e.concat(
    ways.map(({ outputs }) =>
      e.concat(
        outputs.map((h) => e.unsqueeze(h, [0, 1])),
        0,
      ),
    ),
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
  readonly x: Value;
  readonly time: number;
  /** Index into the first axis of the weights. */
  readonly direction: number;
  readonly backward: boolean;
}

/** One direction: the hidden state after every step, in the order of time, and the last state. */
function run(cell: Cell, ctx: DefinitionContext, way: Way): { outputs: readonly Value[]; state: readonly Value[] } {
  const { e } = ctx;
  const { gates } = cell;
  const ofDirection = (value: Value, axis = 0) => {
    const { direction } = way;
    return e.squeeze(e.slice(value, { starts: [direction], ends: [direction + 1], axes: [axis] }), [axis]);
  };
  const given = (index: number) => (ctx.has(index) ? ctx.input(index) : undefined);
  const byGate = (value: Value, axis: number, count = gates) => split(e, value, axis, count);

  const weights = ofDirection(ctx.input(1));
  const recurrence = byGate(ofDirection(ctx.input(2)), 0).map((matrix) => e.transpose(matrix, [1, 0]));
  const biases = given(3) && byGate(ofDirection(ctx.input(3)), 0, 2 * gates);
  const separate = cell.separateBias?.(ctx) ?? [];
  const inputs = e.matMul(way.x, e.transpose(weights, [1, 0]));
  const peepholes = given(7) && byGate(ofDirection(ctx.input(7)), 0, 3);
  const projected = byGate(inputs, 2).map((gate, g) => {
    if (biases === undefined) return gate;
    return e.add(gate, separate.includes(g) ? biases[g] : e.add(biases[g], biases[gates + g]));
  });
  const steps = projected.map((gate) => split(e, gate, 0, way.time).map((step) => e.squeeze(step, [0])));

  const batchFirst = ctx.node.attributes.int('layout', 0) === 1;
  const initial = (index: number) => {
    const value = given(index);
    return value === undefined ? e.zerosLike(steps[0][0]) : ofDirection(value, batchFirst ? 1 : 0);
  };
  let state: readonly Value[] = cell.hasCell ? [initial(5), initial(6)] : [initial(5)];
  const names = ctx.node.attributes.strings('activations')?.slice(way.direction * cell.activations.length);
  const lengths = given(4);
  const outputs: Value[] = [];
  for (let i = 0; i < way.time; i++) {
    const t = way.backward ? way.time - 1 - i : i;
    const next = cell.step({
      e,
      ctx,
      projected: steps.map((gate) => gate[t]),
      state,
      recurrent: recurrence,
      recurrentBias: biases?.slice(gates),
      peepholes,
      activate: (index, x) => e.node(activation(ctx, (names ?? cell.activations)[index]), [x]),
    });
    if (lengths === undefined) {
      state = next;
      outputs[t] = next[0];
      continue;
    }
    // Beyond the end of a sequence the state waits and the output is 0.
    const runs = e.unsqueeze(e.less(e.scalar(t, lengths), lengths), [1]);
    const before = state;
    state = next.map((value, k) => e.where(runs, value, before[k]));
    outputs[t] = e.where(runs, next[0], e.scalar(0, next[0]));
  }
  return { outputs, state };
}

function activation(ctx: DefinitionContext, name: string): string {
  const known = ACTIVATIONS.find((each) => each.toLowerCase() === name.toLowerCase());
  return known ?? ctx.fail(`activation '${name}' is not supported; these are: ${ACTIVATIONS.join(', ')}`);
}

function split(e: Emitter, x: Value, axis: number, count: number): readonly Value[] {
  return count === 1 ? [x] : e.nodes('Split', [x], { axis, num_outputs: count }, count);
}
