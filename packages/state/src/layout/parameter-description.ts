import type { TrainingState } from '@adakit/core';
import { requireState } from '@adakit/core/states';
import { requireList } from '../file/given.js';

/** Layers whose parameters are laid out differently in different frameworks. */
export type LayerKind =
  | 'dense'
  | 'conv1d'
  | 'conv2d'
  | 'conv3d'
  | 'conv2dTranspose'
  | 'conv3dTranspose'
  | 'depthwiseConv2d'
  | 'separableConv2d'
  | 'batchNorm'
  | 'embedding'
  | 'lstm'
  | 'gru';

/** What is known of a parameter before its value. */
export interface ParameterDescription {
  readonly name: string;
  readonly shape: readonly number[];
  /** The layer it belongs to, where known. */
  readonly layer?: LayerKind;
  /** Of a matrix, where known: (in, out) or (out, in) of a dense layer, or (vocabulary, dimension) of an embedding. */
  readonly axes?: MatrixAxes;
  /** Of a tensor that training updates without the optimizer: what it is. */
  readonly statistic?: 'mean' | 'variance' | 'other';
  /** Which axis counts the layer's outputs, where it was said. */
  readonly units?: 'first' | 'last';
}

/** i: inputs, o: outputs, v: vocabulary, d: dimension. */
export type MatrixAxes = 'io' | 'oi' | 'vd';

/** The parameters of a state, in their order, and then its running statistics. */
export function describeParameters(state: TrainingState): ParameterDescription[] {
  requireState(state);
  const { parameters, statistics = {} } = state;
  return [
    ...Object.entries(parameters).map(([name, { value, units }]) => ({
      name,
      shape: value.shape,
      ...(units && { units }),
    })),
    ...Object.entries(statistics).map(([name, { shape }]) => {
      const role = parseName(name).known?.role;
      return { name, shape, statistic: role === 'mean' || role === 'variance' ? role : 'other' } as const;
    }),
  ];
}

/** What a description says of a tensor that is no parameter, or its name does; undefined for a parameter. */
export function statisticOf(description: ParameterDescription): ParameterDescription['statistic'] {
  requireList('ambiguous-mapping', 'descriptions of parameters', [description], ['name']);
  const { name, statistic } = description;
  const role = parseName(name).known?.role;
  return statistic ?? (role === 'mean' || role === 'variance' ? role : role === 'count' ? 'other' : undefined);
}

/** How a framework lays kernels out: channels last in TensorFlow.js and Keras, first in ONNX and PyTorch. */
export type Convention = 'channels-last' | 'channels-first';

/** What a parameter is in its layer. */
export type Role = 'weight' | 'recurrent' | 'scale' | 'bias' | 'mean' | 'variance' | 'count';

interface KnownName {
  readonly role: Role;
  /** Where only one convention has the name. */
  readonly convention?: Convention;
  /** Axes of a matrix. */
  readonly matrix?: MatrixAxes;
}

const keras = { convention: 'channels-last' } as const;
const torch = { convention: 'channels-first' } as const;

/** Last parts of names, as Keras and PyTorch give them. */
const knownNames: Readonly<Record<string, KnownName>> = {
  kernel: { role: 'weight', matrix: 'io', ...keras },
  depthwise_kernel: { role: 'weight', ...keras },
  pointwise_kernel: { role: 'weight', ...keras },
  recurrent_kernel: { role: 'recurrent', ...keras },
  embeddings: { role: 'weight', matrix: 'vd', ...keras },
  gamma: { role: 'scale', ...keras },
  beta: { role: 'bias', ...keras },
  moving_mean: { role: 'mean', ...keras },
  moving_variance: { role: 'variance', ...keras },
  bias: { role: 'bias' },
  // A Linear has (out, in), an Embedding (vocabulary, dimension).
  weight: { role: 'weight', matrix: 'oi', ...torch },
  running_mean: { role: 'mean', ...torch },
  running_var: { role: 'variance', ...torch },
  num_batches_tracked: { role: 'count', ...torch },
};

/** `a/b/kernel_1` in two: the prefix `a/b` and what the last part means, if it is known. */
export function parseName(name: string): { readonly prefix: string; readonly known: KnownName | undefined } {
  const separator = Math.max(name.lastIndexOf('/'), name.lastIndexOf('.'));
  // TensorFlow.js numbers names that it has had before.
  const last = name.slice(separator + 1).replace(/_\d+$/, '');
  return {
    prefix: name.slice(0, Math.max(separator, 0)),
    known: Object.hasOwn(knownNames, last) ? knownNames[last] : undefined,
  };
}

/** The convention that the names of a list speak for, if any does. */
export function conventionOf(parameters: readonly ParameterDescription[]): Convention | undefined {
  return parameters.map(({ name }) => parseName(name).known?.convention).find((convention) => convention !== undefined);
}

/** The axes of a matrix, as far as its description says. */
export function matrixAxes({ name, layer, axes }: ParameterDescription): MatrixAxes | undefined {
  return axes ?? (layer === 'embedding' ? 'vd' : parseName(name).known?.matrix);
}

export function describe({ name, shape }: ParameterDescription): string {
  return `"${name}" [${shape.join(', ')}]`;
}
