import { type AttributeRecord, float, Tensor } from '@adakit/onnx';
import type { Case } from './case.js';

const [time, batch, input, hidden] = [3, 5, 2, 4];
const GATES = { LSTM: 4, GRU: 3, RNN: 1 } as const;

interface Options {
  /** Longer than what is written out step by step. */
  readonly steps?: number;
  /** The dimension that becomes free: the batch unless told. */
  readonly free?: number;
  readonly attributes?: AttributeRecord;
  readonly directions?: 1 | 2;
  /** Biases and initial states, or neither. */
  readonly complete?: boolean;
  readonly peepholes?: boolean;
  readonly lengths?: readonly number[];
}

/** All outputs of a recurrent operator, side by side. */
function recurrentCase(op: keyof typeof GATES, what: string, options: Options = {}): Case {
  const { attributes = {}, directions = 1, complete = true, peepholes = false, lengths, steps = time } = options;
  const rows = GATES[op] * hidden;
  const batchFirst = attributes.layout === 1;
  const state = batchFirst ? [batch, directions, hidden] : [directions, batch, hidden];
  const outputs = op === 'LSTM' ? 3 : 2;
  return {
    name: `${op}${what}`,
    dims: [
      batchFirst ? [batch, steps, input] : [steps, batch, input],
      [directions, rows, input],
      [directions, rows, hidden],
      ...(complete ? [[directions, 2 * rows], state, ...(op === 'LSTM' ? [state] : [])] : []),
      ...(peepholes ? [[directions, 3 * hidden]] : []),
    ],
    build(e, x, w, r, ...rest) {
      const vector = lengths && e.constant(Tensor.of('int32', [lengths.length], Int32Array.from(lengths)));
      const [bias, h, c] = complete ? rest : [];
      const list = [x, w, r, bias, vector, h, op === 'LSTM' ? c : undefined, peepholes ? rest.at(-1) : undefined];
      while (list.at(-1) === undefined) list.pop();
      const all = e.nodes(op, list, { hidden_size: hidden, ...attributes }, outputs);
      return e.concat(
        all.map((value) => e.reshape(value, [-1])),
        0,
      );
    },
    free: options.free ?? batch,
    // ONNX Runtime does not execute layout 1.
    ...(batchFirst ? {} : { native: 18 }),
  };
}

/** alpha, and beta where there is one, of two directions. */
const PARAMETERS: Readonly<Record<string, readonly (readonly [number, number?])[] | undefined>> = {
  Affine: [
    [0.5, 0.1],
    [0.7, -0.2],
  ],
  Elu: [[0.5], [0.8]],
  HardSigmoid: [
    [0.3, 0.4],
    [0.25, 0.6],
  ],
  LeakyRelu: [[0.1], [0.2]],
  ScaledTanh: [
    [1.5, 0.6],
    [0.8, 1.2],
  ],
  ThresholdedRelu: [[0.1], [0.2]],
};

const parameters = (name: string, values: readonly number[]): AttributeRecord =>
  values.length === 0 ? {} : { [name]: float(values) };

export const recurrentCases: readonly Case[] = [
  ...(['LSTM', 'GRU', 'RNN'] as const).flatMap((op) => [
    recurrentCase(op, ''),
    recurrentCase(op, ' without biases and states', { complete: false }),
    recurrentCase(op, ', backwards', { attributes: { direction: 'reverse' } }),
    recurrentCase(op, ' in both directions', { attributes: { direction: 'bidirectional' }, directions: 2 }),
    recurrentCase(op, ' in both directions over sequences of several lengths', {
      attributes: { direction: 'bidirectional' },
      directions: 2,
      lengths: [3, 1, 2, 3, 1],
    }),
    recurrentCase(op, ' in both directions, batch first', {
      attributes: { direction: 'bidirectional', layout: 1 },
      directions: 2,
    }),
  ]),
  recurrentCase('LSTM', ' with peepholes', { peepholes: true }),
  recurrentCase('LSTM', ' with coupled gates', { attributes: { input_forget: 1 } }),
  recurrentCase('LSTM', ' with other activations', { attributes: { activations: ['Tanh', 'Relu', 'Sigmoid'] } }),
  recurrentCase('GRU', ' with the reset after the product', { attributes: { linear_before_reset: 1 } }),
  recurrentCase('GRU', ' with the reset after the product, both ways without biases', {
    attributes: { linear_before_reset: 1, direction: 'bidirectional' },
    directions: 2,
    complete: false,
  }),
  recurrentCase('RNN', ' with another activation', { attributes: { activations: ['Relu'] } }),
  recurrentCase('RNN', ' clipped', { attributes: { clip: float(0.3) } }),
  recurrentCase('GRU', ' clipped', { attributes: { clip: float(0.3) } }),
  recurrentCase('GRU', ' clipped with the reset after the product', {
    attributes: { clip: float(0.3), linear_before_reset: 1 },
  }),
  recurrentCase('LSTM', ' clipped', { attributes: { clip: float(0.3) } }),
  ...['Affine', 'Elu', 'HardSigmoid', 'LeakyRelu', 'Relu', 'ScaledTanh', 'Softplus', 'Softsign', 'ThresholdedRelu'].map(
    (name) =>
      recurrentCase('RNN', ` with ${name}, with other parameters backwards`, {
        attributes: {
          activations: [name, name],
          ...parameters(
            'activation_alpha',
            (PARAMETERS[name] ?? []).map(([alpha]) => alpha),
          ),
          ...parameters(
            'activation_beta',
            (PARAMETERS[name] ?? []).flatMap(([, beta]) => beta ?? []),
          ),
          direction: 'bidirectional',
        },
        directions: 2,
      }),
  ),
  recurrentCase('GRU', ' with parameters for some activations', {
    attributes: {
      activations: ['HardSigmoid', 'Elu'],
      activation_alpha: float([0.3, 0.7]),
      activation_beta: float([0.4]),
    },
  }),
  // Over a free number of steps, and over many.
  ...(['LSTM', 'GRU', 'RNN'] as const).flatMap((op) => [
    recurrentCase(op, ' over any number of steps', { free: time }),
    recurrentCase(op, ' over any number of steps in both directions, of several lengths', {
      attributes: { direction: 'bidirectional' },
      directions: 2,
      lengths: [3, 1, 2, 3, 1],
      free: time,
    }),
    recurrentCase(op, ' over any number of steps, batch first, without biases and states', {
      attributes: { layout: 1 },
      complete: false,
      free: time,
    }),
  ]),
  recurrentCase('LSTM', ' with peepholes over any number of steps', { peepholes: true, free: time }),
  recurrentCase('GRU', ' over many steps', { steps: 70 }),
];
