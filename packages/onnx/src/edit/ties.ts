import type { FloatArray } from '@adakit/core';
import { TensorProto_DataLocation, type TensorProto } from 'onnx-buf';
import { dtypeFromCode } from '../model/dtype.js';
import type { Model } from '../model/model.js';
import { Tensor } from '../model/tensor.js';
import { makeNode, ModelEdit } from './model-edit.js';

/** Two initializers with the same numbers. */
export interface Tie {
  /** The one that comes first in the file. */
  readonly weight: string;
  readonly copy: string;
  /** Whether the copy is the transpose. */
  readonly transposed: boolean;
}

/**
 * Weights that hold the same numbers, as they are or transposed: tied weights of which an exporter has made copies, such as
 * an embedding and the output layer of a language model. Only float tensors of rank 2 and more are looked at, and
 * none whose elements are all alike, which are equal by chance.
 */
export function findTies(model: Model): readonly Tie[] {
  const groups = new Map<string, TensorProto[]>();
  for (const tensor of model.graph.initializer) {
    const dtype = dtypeFromCode(tensor.dataType);
    if (tensor.dims.length < 2 || (dtype !== 'float32' && dtype !== 'float64')) continue;
    if (tensor.dataLocation === TensorProto_DataLocation.EXTERNAL) continue;
    // Sizes, first and last element are the same for a tensor and its transpose.
    const sizes = tensor.dims.length === 2 ? tensor.dims.map(Number).toSorted((a, b) => a - b) : tensor.dims;
    const key = [dtype, sizes.join(), corner(tensor, 0), corner(tensor, -1)].join(' ');
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [tensor]);
    else group.push(tensor);
  }
  return [...groups.values()].flatMap((group) => {
    const originals: TensorProto[] = [];
    return group.flatMap((tensor): Tie[] => {
      for (const original of originals) {
        const [weight, copy] = [original, tensor].map((each) => Tensor.fromProto(each));
        const transposed = !sameElements(weight, copy);
        if (transposed && !sameTransposed(weight, copy)) continue;
        return isUniform(weight) ? [] : [{ weight: original.name, copy: tensor.name, transposed }];
      }
      originals.push(tensor);
      return [];
    });
  });
}

/**
 * The model with ties in place of copies: every copy is computed from its weight by an Identity or Transpose node under its
 * old name, so that training changes both alike and the file holds one of them. The model itself when there is nothing to do.
 *
 * @param ties by default all that {@link findTies} finds
 */
export function tieWeights(model: Model, ties: readonly Tie[] = findTies(model)): Model {
  if (ties.length === 0) return model;
  const edit = new ModelEdit(model);
  for (const { weight, copy, transposed } of ties) {
    edit.initializers.delete(copy);
    const attributes = transposed ? { perm: [1, 0] } : {};
    edit.insertAfter(
      undefined,
      makeNode(`${copy}/tie`, transposed ? 'Transpose' : 'Identity', [weight], copy, attributes),
    );
  }
  return edit.finish();
}

/** The first (0) or last (−1) element, without decoding the others where they are stored as bytes. */
function corner(proto: TensorProto, at: 0 | -1): number {
  const { rawData: raw } = proto;
  const width = dtypeFromCode(proto.dataType) === 'float64' ? 8 : 4;
  if (raw.length < width) {
    const { data } = Tensor.fromProto(proto);
    return Number(data.at(at));
  }
  const view = new DataView(raw.buffer, raw.byteOffset + (at === 0 ? 0 : raw.length - width), width);
  return width === 8 ? view.getFloat64(0, true) : view.getFloat32(0, true);
}

function sameElements(a: Tensor, b: Tensor): boolean {
  if (a.dims.join() !== b.dims.join()) return false;
  const [x, y] = [a.data as FloatArray, b.data as FloatArray];
  for (let i = 0; i < x.length; i++) if (x[i] !== y[i]) return false;
  return true;
}

function sameTransposed(a: Tensor, b: Tensor): boolean {
  if (a.dims.length !== 2 || a.dims[0] !== b.dims[1] || a.dims[1] !== b.dims[0]) return false;
  const [x, y] = [a.data as FloatArray, b.data as FloatArray];
  const [rows, columns] = a.dims;
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) if (x[i * columns + j] !== y[j * rows + i]) return false;
  }
  return true;
}

function isUniform({ data }: Tensor): boolean {
  const values = data as FloatArray;
  return values.every((value) => value === values[0]);
}
