import type { Call, Kernel, Kernels } from './kernel.js';
import { elementAt, offsetOf, sizeOf, sum, type Tensor } from './tensor.js';

const ACTIVATIONS: Readonly<Record<string, (x: number) => number>> = {
  Relu: (x) => Math.max(x, 0),
  Sigmoid: (x) => 1 / (1 + Math.exp(-x)),
  Tanh: Math.tanh,
};

type Vector = readonly number[];

/** One direction of the cell at one step of one sequence. */
interface Step {
  /** Gate `g`, W x + its bias. */
  readonly input: (g: number) => Vector;
  /** Gate `g`, R times a vector (the state unless told), without its bias. */
  readonly recurrent: (g: number, state?: Vector) => Vector;
  /** The bias of the recurrent part of gate `g`. */
  readonly bias: (g: number) => Vector;
  /** Peephole `g`. */
  readonly peephole: (g: number) => Vector;
  readonly state: Vector;
  readonly cell: Vector;
  readonly activate: (index: number, x: Vector) => Vector;
  readonly call: Call;
}

interface Cell {
  readonly gates: number;
  readonly activations: readonly string[];
  /** The next state, and for an LSTM the next cell. */
  readonly next: (step: Step) => readonly [state: Vector, cell: Vector];
}

const add = (...terms: readonly Vector[]): Vector => terms[0].map((_, i) => sum(terms.map((term) => term[i])));
const multiply = (a: Vector, b: Vector): Vector => a.map((x, i) => x * b[i]);

const rnn: Cell = {
  gates: 1,
  activations: ['Tanh'],
  next: ({ input, recurrent, bias, activate }) => [activate(0, add(input(0), recurrent(0), bias(0))), []],
};

const gru: Cell = {
  gates: 3,
  activations: ['Sigmoid', 'Tanh'],
  next: ({ input, recurrent, bias, activate, state, call }) => {
    const gate = (g: number) => activate(0, add(input(g), recurrent(g), bias(g)));
    const [z, r] = [gate(0), gate(1)];
    const late = call.attributes.int('linear_before_reset', 0) !== 0;
    const reset = late ? multiply(r, add(recurrent(2), bias(2))) : add(recurrent(2, multiply(r, state)), bias(2));
    const candidate = activate(1, add(input(2), reset));
    return [candidate.map((n, i) => (1 - z[i]) * n + z[i] * state[i]), []];
  },
};

const lstm: Cell = {
  gates: 4,
  activations: ['Sigmoid', 'Tanh', 'Tanh'],
  next: ({ input, recurrent, bias, activate, peephole, cell }) => {
    const gate = (g: number, p: number, seen: Vector) =>
      activate(0, add(input(g), recurrent(g), bias(g), multiply(peephole(p), seen)));
    const [i, forget] = [gate(0, 0, cell), gate(2, 2, cell)];
    const candidate = activate(1, add(input(3), recurrent(3), bias(3)));
    const next = add(multiply(forget, cell), multiply(i, candidate));
    return [multiply(gate(1, 1, next), activate(2, next)), next];
  },
};

/** Goes over the sequences one element at a time; without clipping and coupled gates. */
function sequence({ gates, activations, next }: Cell): Kernel {
  return (call) => {
    const { input, inputs, attributes } = call;
    const [x, w, r, b, lengths, h0, c0, p] = [input(0), input(1), input(2), ...inputs.slice(3)];
    const batchFirst = attributes.int('layout', 0) === 1;
    const [steps, batch] = batchFirst ? [x.dims[1], x.dims[0]] : x.dims;
    const [directions, , width] = w.dims;
    const hidden = r.dims[2];
    const backward = (d: number) => d === 1 || attributes.string('direction', 'forward') === 'reverse';
    const names = attributes.strings('activations') ?? Array.from({ length: directions }, () => activations).flat();

    const yDims = batchFirst ? [batch, steps, directions, hidden] : [steps, directions, batch, hidden];
    const stateDims = batchFirst ? [batch, directions, hidden] : [directions, batch, hidden];
    const y = new Array<number>(sizeOf(yDims)).fill(0);
    const [hs, cs] = [new Array<number>(sizeOf(stateDims)).fill(0), new Array<number>(sizeOf(stateDims)).fill(0)];
    const stateAt = (d: number, n: number, i: number) => (batchFirst ? [n, d, i] : [d, n, i]);
    const row = (of: Tensor, d: number, first: number, columns: number): Vector[] =>
      Array.from({ length: hidden }, (_, i) =>
        Array.from({ length: columns }, (__, j) => elementAt(of, [d, first + i, j])),
      );
    const slice = (of: Tensor | undefined, d: number, first: number): Vector =>
      Array.from({ length: hidden }, (_, i) => (of === undefined ? 0 : elementAt(of, [d, first + i])));
    const initial = (of: Tensor | undefined, d: number, n: number): Vector =>
      Array.from({ length: hidden }, (_, i) => (of === undefined ? 0 : elementAt(of, stateAt(d, n, i))));
    const apply = (rows: readonly Vector[], vector: Vector): Vector => rows.map((each) => sum(multiply(each, vector)));

    for (let d = 0; d < directions; d++) {
      for (let n = 0; n < batch; n++) {
        let [state, cell] = [initial(h0, d, n), initial(c0, d, n)];
        const length = lengths?.data[n] ?? steps;
        for (let k = 0; k < length; k++) {
          const t = backward(d) ? length - 1 - k : k;
          const at = Array.from({ length: width }, (_, j) => elementAt(x, batchFirst ? [n, t, j] : [t, n, j]));
          const before = state;
          [state, cell] = next({
            input: (g) => add(apply(row(w, d, g * hidden, width), at), slice(b, d, g * hidden)),
            recurrent: (g, vector = before) => apply(row(r, d, g * hidden, hidden), vector),
            bias: (g) => slice(b, d, (gates + g) * hidden),
            peephole: (g) => slice(p, d, g * hidden),
            state,
            cell,
            activate: (index, vector) => vector.map(ACTIVATIONS[names[d * activations.length + index]]),
            call,
          });
          state.forEach((value, i) => {
            y[offsetOf(yDims, batchFirst ? [n, t, d, i] : [t, d, n, i])] = value;
          });
        }
        state.forEach((value, i) => (hs[offsetOf(stateDims, stateAt(d, n, i))] = value));
        cell.forEach((value, i) => (cs[offsetOf(stateDims, stateAt(d, n, i))] = value));
      }
    }
    const { dtype } = x;
    return [
      { dtype, dims: yDims, data: y },
      { dtype, dims: stateDims, data: hs },
      { dtype, dims: stateDims, data: cs },
    ];
  };
}

export const recurrent: Kernels = { GRU: sequence(gru), LSTM: sequence(lstm), RNN: sequence(rnn) };
