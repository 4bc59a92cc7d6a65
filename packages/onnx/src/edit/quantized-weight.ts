import { elementCount } from '@adakit/core';
import type { NodeProto, TensorProto } from 'onnx-buf';
import { dtypeFromCode } from '../model/dtype.js';
import { BNB4_NUMBERS, unpackBits } from '../model/packed.js';
import { Tensor } from '../model/tensor.js';
import { intAttribute, labelOf, makeNode, type ModelEdit, refuse } from './model-edit.js';

/** The nodes of ONNX Runtime's own that multiply with a matrix [N, K] of few bits, the transpose of what they compute with. */
const PACKED_PRODUCTS: ReadonlySet<string> = new Set(['MatMulNBits', 'MatMulBnb4']);

export function isPackedProduct({ domain, opType }: NodeProto): boolean {
  return domain === 'com.microsoft' && PACKED_PRODUCTS.has(opType);
}

/** Whether a node makes floats of a quantized tensor. */
export function isDequantization({ domain, opType }: NodeProto): boolean {
  return (domain === '' || domain === 'ai.onnx') && opType === 'DequantizeLinear';
}

/** The float type that a quantized weight stands for: that of its scales. */
export function typeOfScales(edit: ModelEdit, node: NodeProto): 'float32' | 'float64' | undefined {
  const dtype = edit.constant(node.input[isDequantization(node) ? 1 : 2])?.dtype;
  return dtype === 'float32' || dtype === 'float64' ? dtype : undefined;
}

/** The shape [N, K] of the matrix in a packed product. */
export function packedDims(node: NodeProto): readonly number[] {
  return [intAttribute(node, 'N', 0), intAttribute(node, 'K', 0)];
}

/**
 * The numbers that a DequantizeLinear node or a packed product makes of its weight, in float32 as ONNX Runtime does.
 *
 * @throws {OnnxError} `invalid-argument` where they are not constant, or ordered in a way that is not known
 */
export function dequantized(edit: ModelEdit, node: NodeProto): Tensor {
  const constant = (index: number): Tensor | undefined => {
    const name = node.input.at(index) ?? '';
    if (name === '') return undefined;
    return edit.constant(name)?.unpacked() ?? refuse(`${labelOf(node)}: its input '${name}' is no constant`);
  };
  const needed = (index: number): Tensor =>
    constant(index) ?? refuse(`${labelOf(node)}: its input ${index} is missing`);
  if (isDequantization(node)) return dequantizedLinear(node, needed(0), needed(1), constant(2));
  return node.opType === 'MatMulNBits'
    ? dequantizedBits(node, needed(1), needed(2), constant(3), constant(4))
    : dequantizedBnb4(node, needed(1), needed(2));
}

function dequantizedLinear(node: NodeProto, x: Tensor, scale: Tensor, zero: Tensor | undefined): Tensor {
  const { dims } = x;
  const [numbers, scales, zeros] = [x.toNumbers(), scale.toNumbers(), zero?.toNumbers()];
  const given = intAttribute(node, 'axis', 1);
  const axis = given < 0 ? given + dims.length : given;
  const block = intAttribute(node, 'block_size', 0);
  const inner = elementCount(dims.slice(axis + 1));
  const length = dims[axis] ?? 1;
  const blocks = block === 0 ? 0 : Math.ceil(length / block);
  const place = (i: number): number => {
    if (scales.length === 1) return 0;
    const along = Math.floor(i / inner) % length;
    if (block === 0) return along;
    return (Math.floor(i / (inner * length)) * blocks + Math.floor(along / block)) * inner + (i % inner);
  };
  return floats(dims, numbers.length, (i) => {
    const at = place(i);
    return (numbers[i] - (zeros?.[at] ?? 0)) * scales[at];
  });
}

function dequantizedBits(
  node: NodeProto,
  packed: Tensor,
  scale: Tensor,
  zero: Tensor | undefined,
  order: Tensor | undefined,
): Tensor {
  if (order !== undefined) refuse(`${labelOf(node)}: groups by index (g_idx) are not supported`);
  const [bits, block] = [intAttribute(node, 'bits', 4), intAttribute(node, 'block_size', 0)];
  const [rows, columns] = packedDims(node);
  const blocks = Math.ceil(columns / block);
  const numbers = unpackBits(packed.data as Uint8Array, bits);
  const scales = scale.toNumbers();
  // Packed zero points begin anew with every row.
  const perRow = Math.ceil((blocks * bits) / 8) * (8 / bits);
  const isPacked = zero?.data instanceof Uint8Array;
  const zeros = zero?.data instanceof Uint8Array ? unpackBits(zero.data, bits) : zero?.toNumbers();
  return floats([rows, columns], rows * columns, (i) => {
    const [row, column] = [Math.floor(i / columns), i % columns];
    const group = Math.floor(column / block);
    const middle = zeros?.[isPacked ? row * perRow + group : row * blocks + group] ?? 2 ** (bits - 1);
    const number = numbers[(row * blocks + group) * block + (column % block)];
    return (number - middle) * scales[row * blocks + group];
  });
}

function dequantizedBnb4(node: NodeProto, packed: Tensor, largest: Tensor): Tensor {
  const block = intAttribute(node, 'block_size', 0);
  const dims = packedDims(node);
  const table = BNB4_NUMBERS[intAttribute(node, 'quant_type', 1)];
  const bytes = packed.data as Uint8Array;
  const scales = largest.toNumbers();
  return floats(dims, dims[0] * dims[1], (i) => {
    // The first of two numbers is in the upper bits.
    const code = i % 2 === 0 ? bytes[i >> 1] >> 4 : bytes[i >> 1] & 15;
    return Math.fround(table[code]) * scales[Math.floor(i / block)];
  });
}

function floats(dims: readonly number[], size: number, number: (i: number) => number): Tensor {
  return Tensor.of(
    'float32',
    dims,
    Float32Array.from({ length: size }, (_, i) => number(i)),
  );
}

/**
 * Puts a float matrix in the place of a quantized weight: nodes that made floats of it pass it on, products with the packed
 * one become MatMul nodes. What only the quantized weight needed is gone.
 *
 * @param name of the quantized initializer, and of the matrix
 */
export function replaceQuantized(edit: ModelEdit, name: string, matrix: Tensor): void {
  const settings = new Set<string>();
  for (const node of edit.consumers(name)) {
    for (const input of node.input.slice(2)) settings.add(input);
    if (isDequantization(node)) {
      settings.add(node.input[1]);
      edit.replace(node, { opType: 'Identity', input: [name], attribute: [] });
      continue;
    }
    // A bias is the sixth input of MatMulNBits.
    const bias = node.input.at(5) ?? '';
    settings.delete(bias);
    const [result] = node.output;
    const product = bias === '' ? result : edit.uniqueName(`${result}.product`);
    const multiplied = edit.replace(node, {
      domain: '',
      opType: 'MatMul',
      input: [node.input[0], name],
      output: [product],
      attribute: [],
    });
    if (bias !== '') edit.insertAfter(multiplied, makeNode(`${node.name}/bias`, 'Add', [product, bias], result));
  }
  const isPacked = edit.consumers(name).some(({ opType }) => opType === 'MatMul');
  edit.setInitializer(name, isPacked ? transposed(matrix) : matrix);
  for (const setting of settings) if (edit.consumers(setting).length === 0) edit.initializers.delete(setting);
}

function transposed({ dtype, dims: [rows, columns], data }: Tensor): Tensor {
  const from = data as Float32Array;
  const to = new Float32Array(from.length);
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) to[j * rows + i] = from[i * columns + j];
  return Tensor.of(dtype, [columns, rows], to);
}

/** Whether an initializer holds no floats. */
export function isQuantized({ dataType }: TensorProto): boolean {
  const dtype = dtypeFromCode(dataType);
  return dtype !== 'float32' && dtype !== 'float64';
}
