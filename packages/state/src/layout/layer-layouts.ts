import { elementCount, sameShape } from '@adakit/core';
import {
  matrixAxes,
  parseName,
  type Convention,
  type LayerKind,
  type ParameterDescription,
} from './parameter-description.js';
import { inverseMappings, type ParameterMapping } from './parameter-mapping.js';

/** The part of a mapping that says how elements move. */
export type Rearrangement = Pick<ParameterMapping, 'view' | 'permute' | 'shape'>;

/** Which convention each list of parameters follows; the same on both sides means that only names differ. */
export interface Conventions {
  readonly from: Convention;
  readonly to: Convention;
}

/**
 * Kernels of more than two axes. A letter an axis: i input channels, o output channels, d/h/w depth, height and width; a
 * depthwise kernel has m outputs for each channel c. Letters in parentheses share an axis, `1` is an axis of one element.
 */
const kernels: readonly { readonly layers: readonly LayerKind[]; readonly last: string; readonly first: string }[] = [
  { layers: ['conv1d'], last: 'wio', first: 'oiw' },
  { layers: ['conv2d', 'separableConv2d'], last: 'hwio', first: 'oihw' },
  { layers: ['conv3d'], last: 'dhwio', first: 'oidhw' },
  { layers: ['conv2dTranspose'], last: 'hwoi', first: 'iohw' },
  { layers: ['conv3dTranspose'], last: 'dhwoi', first: 'iodhw' },
  { layers: ['depthwiseConv2d', 'separableConv2d'], last: 'hwcm', first: '(cm)1hw' },
];

/** Channels of images that a dense layer's inputs were flattened from, or its outputs are shaped into. */
export interface ImageChannels {
  readonly inputs?: number | undefined;
  readonly outputs?: number | undefined;
}

/**
 * The ways in which `from` can become `to`, going by names, shapes and layers; none if it cannot, several if that leaves
 * it open.
 *
 * @param channels only used between different conventions, where flattened images differ
 */
export function rearrangements(
  from: ParameterDescription,
  to: ParameterDescription,
  conventions: Conventions,
  channels: ImageChannels = {},
): Rearrangement[] {
  if (!rolesFit(from, to)) return [];
  if (conventions.from === 'channels-first' && conventions.to === 'channels-last') {
    const forward = rearrangements(to, from, { from: conventions.to, to: conventions.from }, channels);
    return forward.map((rearrangement) => minimal(inverse(rearrangement, to, from), from));
  }
  const toFirst = conventions.from !== conventions.to;
  const found =
    from.shape.length === 2 && to.shape.length === 2
      ? matrixRearrangements(from, to, toFirst ? channels : {})
      : isVector(from.shape) && isVector(to.shape)
        ? vectorRearrangements(from, to, toFirst ? channels.outputs : undefined)
        : toFirst && isKernel(from)
          ? kernelRearrangements(from, to)
          : sameShape(from.shape, to.shape)
            ? [{}]
            : [];
  const distinct = new Map(found.toReversed().map((option) => [elementOrder(option, from.shape), option]));
  return [...distinct.values()].toReversed().map((rearrangement) => minimal(rearrangement, from));
}

function vectorRearrangements(
  { shape: from }: ParameterDescription,
  { shape: to }: ParameterDescription,
  channels = 1,
): Rearrangement[] {
  const length = elementCount(from);
  if (elementCount(to) !== length || length % channels !== 0) return [];
  return [{ view: [length / channels, channels], permute: [1, 0], shape: to }];
}

/**
 * Dense kernels are (in, out) in TensorFlow.js and where ONNX multiplies with MatMul, and (out, in) in PyTorch and where
 * ONNX multiplies with a transposing Gemm. Embeddings are (vocabulary, dimension) everywhere.
 */
function matrixRearrangements(
  from: ParameterDescription,
  to: ParameterDescription,
  channels: ImageChannels,
): Rearrangement[] {
  const [a, b] = [matrixAxes(from), matrixAxes(to)];
  const isEmbedding = a === 'vd' || b === 'vd';
  const isOpen = a === undefined || b === undefined;
  const transpositions = isEmbedding ? [false] : isOpen ? [false, true] : [a !== b];
  return transpositions.flatMap((transposed) => {
    if (!sameShape(transposed ? from.shape.toReversed() : from.shape, to.shape)) return [];
    const rows = grouped(from.shape[0], isEmbedding ? undefined : channels.inputs);
    const columns = grouped(from.shape[1], isEmbedding ? undefined : channels.outputs);
    if (rows === undefined || columns === undefined) return [];
    // Axes are (space, channel, space, channel); channels come first on the other side.
    return [{ view: [...rows, ...columns], permute: transposed ? [3, 2, 1, 0] : [1, 0, 3, 2], shape: to.shape }];
  });
}

/** One axis as (space, channels) of a flattened image; without an image, (1, size). */
function grouped(size: number, channels = 1): readonly [number, number] | undefined {
  if (channels === 1) return [1, size];
  return size % channels === 0 ? [size / channels, channels] : undefined;
}

function kernelRearrangements(from: ParameterDescription, to: ParameterDescription): Rearrangement[] {
  const layer = from.layer ?? to.layer;
  return kernels.flatMap(({ layers, last, first }) => {
    if (last.length !== from.shape.length || (layer !== undefined && !layers.includes(layer))) return [];
    const groups = [...first.matchAll(/\((?<axes>\w+)\)|\w/g)].map((match) => match.groups?.axes ?? match[0]);
    const sizeOf = (axis: string): number => (axis === '1' ? 1 : from.shape[last.indexOf(axis)]);
    const shape = groups.map((group) => elementCount(group.split('').map(sizeOf)));
    const permute = groups
      .join('')
      .replaceAll('1', '')
      .split('')
      .map((axis) => last.indexOf(axis));
    return sameShape(shape, to.shape) ? [{ view: from.shape, permute, shape }] : [];
  });
}

/** Whether it has a kernel's axes, unlike e.g. the scale of a normalization over several axes. */
function isKernel({ name }: ParameterDescription): boolean {
  const role = parseName(name).known?.role;
  return role === undefined || role === 'weight';
}

function rolesFit(from: ParameterDescription, to: ParameterDescription): boolean {
  const [a, b] = [from, to].map((each) => {
    const { statistic } = each;
    return statistic === undefined || statistic === 'other' ? parseName(each.name).known?.role : statistic;
  });
  const weights = (role: string): boolean => role === 'weight' || role === 'scale';
  return a === undefined || b === undefined || a === b || (weights(a) && weights(b));
}

/** At most one axis has more than one element. */
function isVector(shape: readonly number[]): boolean {
  return shape.filter((size) => size !== 1).length <= 1;
}

function inverse(rearrangement: Rearrangement, from: ParameterDescription, to: ParameterDescription): Rearrangement {
  const [{ view, permute, shape }] = inverseMappings([{ from: 'from', to: 'to', ...rearrangement }], {
    from: from.shape,
  });
  return { view: view ?? to.shape, permute: permute ?? [], shape: shape ?? from.shape };
}

/** As little as says the same: the permutation of the tensor's own axes where there is one, nothing where nothing moves. */
function minimal(rearrangement: Rearrangement, { shape }: ParameterDescription): Rearrangement {
  const order = elementOrder(rearrangement, shape);
  const result = rearrangement.shape ?? shape;
  const { view, permute } = merged(rearrangement, shape);
  if (permute.every((axis, i) => axis === i)) return sameShape(shape, result) ? {} : { shape: result };
  const candidates = [rearrangement.permute ?? [], [1, 0]].filter(({ length }) => length === shape.length);
  const direct = candidates.find(
    (axes) =>
      sameShape(
        axes.map((axis) => shape[axis]),
        result,
      ) && elementOrder({ permute: axes }, shape) === order,
  );
  return direct ? { permute: direct } : { view, permute, shape: result };
}

/** The same order of elements with as few axes as possible. */
function merged(
  { view, permute }: Rearrangement,
  shape: readonly number[],
): { view: readonly number[]; permute: readonly number[] } {
  const sizes = view ?? shape;
  const order = (permute ?? sizes.map((_, axis) => axis)).filter((axis) => sizes[axis] !== 1);
  /** Runs of axes that are neighbours before and after. */
  const axes = order.toSorted((a, b) => a - b);
  const runs: number[][] = [];
  for (const axis of order) {
    const run = runs.at(-1);
    if (run && axes.indexOf(axis) === axes.indexOf(run[run.length - 1]) + 1) run.push(axis);
    else runs.push([axis]);
  }
  const before = runs.toSorted(([a], [b]) => a - b);
  return {
    view: before.map((run) => elementCount(run.map((axis) => sizes[axis]))),
    permute: runs.map((run) => before.indexOf(run)),
  };
}

/** Two rearrangements with the same text move elements alike. */
function elementOrder(rearrangement: Rearrangement, shape: readonly number[]): string {
  const { view, permute } = merged(rearrangement, shape);
  return `${view.join('x')} ${permute.join()}`;
}
