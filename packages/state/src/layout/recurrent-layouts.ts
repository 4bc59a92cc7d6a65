import { AdakitError } from '@adakit/core';
import { describe, parseName, type LayerKind, type ParameterDescription } from './parameter-description.js';
import type { ParameterMapping, Part } from './parameter-mapping.js';

/**
 * How frameworks lay the parameters of LSTM and GRU layers out. `g` are the gates, in the order given, `u` the units, `k`
 * the inputs of a kernel; the recurrent kernel has the same axes with units as inputs.
 *
 * - LSTM gates: input, forget, cell (`c`; PyTorch writes g), output. GRU: update (z), reset (r), hidden (h; n).
 * - TensorFlow.js has one bias, ONNX two halves of one tensor, PyTorch two tensors; their sum is the bias.
 */
const frameworks = {
  tfjs: { gates: { lstm: 'ifco', gru: 'zrh' }, kernel: 'kgu', biases: 1 },
  onnx: { gates: { lstm: 'iofc', gru: 'zrh' }, kernel: 'guk', biases: 2 },
  torch: { gates: { lstm: 'ifco', gru: 'rzh' }, kernel: 'guk', biases: 2 },
} as const;

type Framework = keyof typeof frameworks;
type Cell = 'lstm' | 'gru';

/** A tensor of a recurrent layer, or the part of it that belongs to one direction. */
interface Leaf {
  readonly parameter: ParameterDescription;
  readonly part?: Part;
}

/** One layer in one direction. */
export interface RecurrentLayer {
  readonly framework: Framework;
  readonly cell: Cell;
  readonly units: number;
  readonly inputs: number;
  readonly kernel: Leaf;
  readonly recurrent: Leaf;
  /** None where the layer has no bias. */
  readonly biases: readonly Leaf[];
}

/**
 * Takes the recurrent layers out of a list.
 *
 * @param byShape also takes unnamed tensors of the shapes of ONNX's W, R and B; only wanted if the other side has
 * recurrent layers, since convolutions can have such shapes too
 */
export function extractRecurrent(
  parameters: readonly ParameterDescription[],
  byShape: boolean,
): { readonly layers: readonly RecurrentLayer[]; readonly rest: readonly ParameterDescription[] } {
  const layers: RecurrentLayer[] = [];
  const rest: ParameterDescription[] = [];
  for (let i = 0; i < parameters.length;) {
    const found = recurrentAt(parameters.slice(i, i + 4), byShape);
    if (found) layers.push(...found.layers);
    else rest.push(parameters[i]);
    i += found?.length ?? 1;
  }
  return { layers, rest };
}

function recurrentAt(
  parameters: readonly ParameterDescription[],
  byShape: boolean,
): { readonly layers: readonly RecurrentLayer[]; readonly length: number } | undefined {
  if (parameters.length < 2) return undefined;
  const [kernel, recurrent] = parameters;
  const third = parameters.at(2);
  const ranks = `${kernel.shape.length}${recurrent.shape.length}`;
  if (/weight_ih_l\d+(_reverse)?$/.test(kernel.name) && /weight_hh_l/.test(recurrent.name)) {
    const biases = parameters.slice(2).filter(({ name }) => /bias_[ih]h_l\d+(_reverse)?$/.test(name));
    const [rows, units] = recurrent.shape;
    const cell = cellOf(rows / units, kernel.layer);
    if (cell === undefined || kernel.shape[0] !== rows) return undefined;
    const leaves = { kernel: { parameter: kernel }, recurrent: { parameter: recurrent } };
    const layer = {
      framework: 'torch',
      cell,
      units,
      inputs: kernel.shape[1],
      ...leaves,
      biases: biases.map(leaf),
    } as const;
    return { layers: [layer], length: 2 + biases.length };
  }
  const isNamed = parseName(recurrent.name).known?.role === 'recurrent';
  const isDeclared = [kernel, recurrent].every(({ layer }) => layer === 'lstm' || layer === 'gru');
  if (ranks === '22' && (isNamed || isDeclared)) {
    const [units, columns] = recurrent.shape;
    const cell = cellOf(columns / units, kernel.layer);
    if (cell === undefined || kernel.shape[1] !== columns) return undefined;
    const isBias =
      third?.shape.length === 1 &&
      third.shape[0] === columns &&
      parseName(third.name).prefix === parseName(kernel.name).prefix;
    const biases = isBias ? [leaf(third)] : [];
    const leaves = { kernel: leaf(kernel), recurrent: leaf(recurrent), biases };
    return {
      layers: [{ framework: 'tfjs', cell, units, inputs: kernel.shape[0], ...leaves }],
      length: 2 + biases.length,
    };
  }
  return ranks === '33' && (byShape || isDeclared) ? onnxLayers(kernel, recurrent, third) : undefined;
}

/** ONNX: W [directions, gates·units, inputs], R [directions, gates·units, units], B [directions, 2·gates·units]. */
function onnxLayers(
  kernel: ParameterDescription,
  recurrent: ParameterDescription,
  third: ParameterDescription | undefined,
): ReturnType<typeof recurrentAt> {
  const [directions, rows, units] = recurrent.shape;
  const cell = cellOf(rows / units, kernel.layer);
  if (cell === undefined || directions > 2 || kernel.shape[0] !== directions || kernel.shape[1] !== rows)
    return undefined;
  const hasBias = third?.shape.length === 2 && third.shape[0] === directions && third.shape[1] === 2 * rows;
  const layers = Array.from({ length: directions }, (_, direction): RecurrentLayer => {
    const directed = (parameter: ParameterDescription): Leaf =>
      directions === 1 ? { parameter } : { parameter, part: { index: direction, of: directions } };
    const half = (index: number): Leaf[] =>
      hasBias ? [{ parameter: third, part: { index: 2 * direction + index, of: 2 * directions } }] : [];
    return {
      framework: 'onnx',
      cell,
      units,
      inputs: kernel.shape[2],
      kernel: directed(kernel),
      recurrent: directed(recurrent),
      biases: [...half(0), ...half(1)],
    };
  });
  return { layers, length: hasBias ? 3 : 2 };
}

function leaf(parameter: ParameterDescription): Leaf {
  return { parameter };
}

function cellOf(gates: number, layer: LayerKind | undefined): Cell | undefined {
  const cell = gates === 4 ? 'lstm' : gates === 3 ? 'gru' : undefined;
  return layer === undefined || layer === cell ? cell : undefined;
}

/** The mappings of one layer. @throws AdakitError when the two cannot be the same layer */
export function recurrentMappings(from: RecurrentLayer, to: RecurrentLayer): ParameterMapping[] {
  const problem =
    from.cell !== to.cell || from.units !== to.units || from.inputs !== to.inputs
      ? `one is a ${text(from)}, the other a ${text(to)}`
      : (from.biases.length === 0) !== (to.biases.length === 0)
        ? 'one has biases and the other has none'
        : from.cell === 'gru' &&
            (from.framework === 'tfjs') !== (to.framework === 'tfjs') &&
            [from.framework, to.framework].includes('torch')
          ? "PyTorch's GRU resets after multiplying with the recurrent kernel and the GRU of TensorFlow.js before: no values make them equal"
          : undefined;
  if (problem !== undefined) {
    const [a, b] = [from, to].map(({ kernel }) => describe(kernel.parameter));
    throw new AdakitError('state-mismatch', `the recurrent layers of ${a} and ${b} cannot be mapped: ${problem}`);
  }
  return [
    move(from, to, from.kernel, to.kernel, from.inputs),
    move(from, to, from.recurrent, to.recurrent, from.units),
    ...biasMappings(from, to),
  ];
}

function biasMappings(from: RecurrentLayer, to: RecurrentLayer): ParameterMapping[] {
  const pairs: [Leaf, Leaf, ParameterMapping['addend']][] = [];
  const [a, b] = [from.biases, to.biases];
  if (a.length === 0) return [];
  pairs.push([a[0], b[0], undefined]);
  if (a.length === 2 && b.length === 2) pairs.push([a[1], b[1], undefined]);
  else if (b.length === 2) pairs.push([a[0], b[1], 'zero']);
  else if (a.length === 2) pairs.push([a[1], b[0], 'add']);
  return pairs.map(([source, target, addend]) => ({
    ...move(from, to, source, target, undefined),
    ...(addend && { addend }),
  }));
}

/** @param columns the inputs of a kernel; undefined for a bias, which has none */
function move(
  from: RecurrentLayer,
  to: RecurrentLayer,
  source: Leaf,
  target: Leaf,
  columns: number | undefined,
): ParameterMapping {
  const [a, b] = [from, to].map(({ framework }) => (columns === undefined ? 'gu' : frameworks[framework].kernel));
  const [gatesBefore, gatesAfter] = [from, to].map(({ framework }) => frameworks[framework].gates[from.cell]);
  const sizes: Readonly<Record<string, number>> = { g: gatesBefore.length, u: from.units, k: columns ?? 1 };
  const order = gatesAfter.split('').map((gate) => gatesBefore.indexOf(gate));
  const { name, shape } = target.parameter;
  return {
    from: source.parameter.name,
    to: name,
    ...(source.part && { fromPart: source.part }),
    view: a.split('').map((axis) => sizes[axis]),
    permute: b.split('').map((axis) => a.indexOf(axis)),
    ...(order.some((gate, i) => gate !== i) && { reorder: { axis: b.indexOf('g'), order } }),
    shape,
    ...(target.part && { toPart: target.part }),
  };
}

function text({ cell, inputs, units, framework }: RecurrentLayer): string {
  return `${cell} of ${framework} with ${inputs} inputs and ${units} units`;
}
