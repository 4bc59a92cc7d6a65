import { kinds } from '@adakit/core';
import type { FloatArray } from '@adakit/core';
import { requireModel, requireOptions } from '../given.js';
import type { NodeProto } from 'onnx-buf';
import type { Model } from '../model/model.js';
import { Tensor } from '../model/tensor.js';
import { FILTER, listNames, matches, requireKnown, type ParameterFilter } from '../trainable/filter.js';
import { drawTensor } from './initialization.js';
import { intAttribute, labelOf, makeNode, ModelEdit, refuse } from './model-edit.js';
import {
  dequantized,
  isDequantization,
  isPackedProduct,
  isQuantized,
  packedDims,
  replaceQuantized,
  typeOfScales,
} from './quantized-weight.js';
import { passesOn, weightSource, type WeightSource } from './weight-source.js';

/** What {@link addAdapters} adapts, and by updates of which rank. */
export interface AdapterOptions {
  /** Which weights to adapt, by name. Default: every matrix that a MatMul or Gemm node multiplies with. */
  readonly weights?: ParameterFilter;
  /** Which MatMul and Gemm nodes to adapt, by name; a weight that one of them uses is adapted wherever it is used. */
  readonly nodes?: ParameterFilter;
  /** Rank of the update; below both sizes of every adapted matrix. Default 8. */
  readonly rank?: number;
  /** The update is scaled by alpha / rank. Default: the rank. */
  readonly alpha?: number;
  /** Of the numbers that `lora_A` starts with; default 0. */
  readonly seed?: number;
}

/**
 * Adds low-rank adapters (LoRA; E. Hu et al. 2021, arXiv:2106.09685) to matrices of a model: where it computes x·W it then
 * computes x·W + (alpha / rank) · (x·A)·B, and training changes A and B only, which `adapters` selects and which is the
 * default for such a model. A starts as U(−1/√in, 1/√in), B with zeros, so that the function of the model is the same
 * at first. Opset, names and everything else of the model stay.
 *
 * For a weight `W` of shape [in, out] the new initializers are `W.lora_A` of [in, rank] and `W.lora_B` of [rank, out]; for one
 * that is stored transposed, as `torch.nn.Linear` has it, `W.lora_A` of [rank, in] and `W.lora_B` of [out, rank], as in
 * PEFT. `W.lora_scale` holds alpha / rank. A weight used several times (tied) has one adapter, which all uses see, lookups
 * (Gather) of a tied embedding included. A table that is looked up only is adapted when `weights` names it; its A starts
 * with zeros and its B as N(0, 1).
 *
 * The weight may be quantized (QLoRA; T. Dettmers et al. 2023, arXiv:2305.14314): integers of any width behind
 * DequantizeLinear, or the packed matrix of MatMulNBits and MatMulBnb4, which is stored transposed. It stays as it is.
 *
 * @throws {OnnxError} `invalid-argument` for a weight that is named and cannot be adapted, or when none is left
 */
export function addAdapters(model: Model, options: AdapterOptions = {}): Model {
  requireModel('addAdapters()', model);
  requireOptions('addAdapters()', options, {
    weights: FILTER,
    nodes: FILTER,
    rank: kinds.count(1),
    alpha: kinds.within({ above: 0 }),
    seed: kinds.seed,
  });
  const { weights, nodes, rank = 8, alpha = rank, seed = 0 } = options;
  const edit = new ModelEdit(model);
  const matrices = findMatrices(edit);
  if (weights !== undefined) requireKnown('weights', weights, [...edit.initializers.keys()]);
  const isNamed = ({ name }: Matrix): boolean => weights !== undefined && matches(weights, name);
  const chosen = matrices.filter((matrix) => {
    const products = matrix.uses.filter(({ node }) => node.opType !== 'Gather');
    if (nodes !== undefined)
      return products.some(({ node }) => matches(nodes, node.name)) && (weights === undefined || isNamed(matrix));
    return weights === undefined ? products.length > 0 : isNamed(matrix);
  });
  const fitting = chosen.filter((matrix) => {
    const obstacle = obstacleOf(edit, matrix, rank);
    if (obstacle !== undefined && (nodes !== undefined || weights !== undefined)) {
      refuse(`addAdapters: '${matrix.name}' ${obstacle}`);
    }
    return obstacle === undefined;
  });
  if (fitting.length === 0) {
    const found = matrices.map(({ name, dims }) => `'${name}' [${dims.join(', ')}]`);
    refuse(
      `addAdapters: no weight is left to adapt with rank ${rank}; ` +
        (found.length === 0
          ? 'no MatMul, Gemm or Gather node uses a constant matrix'
          : `matrices are ${found.join(', ')}`),
    );
  }
  for (const matrix of fitting) adapt(edit, matrix, { rank, alpha, seed });
  return edit.finish();
}

/** A constant matrix and the nodes that multiply with it or look rows of it up. */
interface Matrix {
  readonly name: string;
  readonly dtype: 'float32' | 'float64';
  readonly dims: readonly number[];
  readonly uses: readonly MatrixUse[];
}

interface MatrixUse {
  readonly node: NodeProto;
  /** Whether the product is with the transpose of what is stored. */
  readonly transposed: boolean;
}

function findMatrices(edit: ModelEdit): readonly Matrix[] {
  const found = new Map<string, { source: NonNullable<ReturnType<typeof matrixOf>>; uses: MatrixUse[] }>();
  for (const node of edit.nodes) {
    const source = matrixOf(edit, node);
    if (source?.dims.length !== 2) continue;
    if (node.opType === 'Gather' && (source.transposed || intAttribute(node, 'axis', 0) !== 0)) continue;
    const flipped = node.opType === 'Gemm' && intAttribute(node, 'transB', 0) === 1;
    const use = { node, transposed: source.transposed !== flipped };
    const known = found.get(source.name);
    if (known === undefined) found.set(source.name, { source, uses: [use] });
    else known.uses.push(use);
  }
  return [...found.values()].map(({ source: { name, dtype, dims }, uses }) => ({ name, dtype, dims, uses }));
}

/** The matrix that a node multiplies with or looks rows of up. */
function matrixOf(
  edit: ModelEdit,
  node: NodeProto,
): Pick<WeightSource, 'name' | 'dtype' | 'dims' | 'transposed'> | undefined {
  if (isPackedProduct(node)) {
    const [name, dtype] = [node.input[1], typeOfScales(edit, node)];
    return dtype !== undefined && edit.initializers.has(name)
      ? { name, dtype, dims: packedDims(node), transposed: true }
      : undefined;
  }
  const index = node.domain === '' ? MATRIX_INPUTS[node.opType] : undefined;
  return index === undefined ? undefined : weightSource(edit, node.input[index], { quantized: true });
}

const MATRIX_INPUTS: Readonly<Partial<Record<string, number>>> = { MatMul: 1, Gemm: 1, Gather: 0 };

/** Why a matrix cannot have adapters of a rank, or undefined. */
function obstacleOf(edit: ModelEdit, { name, dims, uses }: Matrix, rank: number): string | undefined {
  if (rank >= Math.min(...dims))
    return `is [${dims.join(', ')}]; a rank below ${Math.min(...dims)} is needed, not ${rank}`;
  if (edit.initializers.has(`${name}.lora_A`)) return 'has an adapter; merge it first';
  const known = new Set(uses.map(({ node }) => node));
  const pending = [name];
  for (let value = pending.pop(); value !== undefined; value = pending.pop()) {
    if (edit.isExposed(value)) return `is also used inside a subgraph or as an output, where no adapter can follow`;
    for (const node of edit.consumers(value)) {
      if (known.has(node)) continue;
      if (!passesOn(node)) return `is also used by ${labelOf(node)}, where no adapter can follow`;
      pending.push(...node.output);
    }
  }
  return undefined;
}

function adapt(edit: ModelEdit, matrix: Matrix, options: { rank: number; alpha: number; seed: number }): void {
  const { name, dtype, dims, uses } = matrix;
  const { rank, alpha, seed } = options;
  // What is stored becomes W + scale · left · right.
  const left = { dims: [dims[0], rank], name: '' };
  const right = { dims: [rank, dims[1]], name: '' };
  const first = uses.find(({ node }) => node.opType !== 'Gather');
  const [a, b] = first?.transposed === true ? [right, left] : [left, right];
  a.name = `${name}.lora_A`;
  b.name = `${name}.lora_B`;
  const scale = `${name}.lora_scale`;
  const inputs = a === left ? dims[0] : dims[1];
  const draw = (which: typeof a, initialization: Parameters<typeof drawTensor>[2]['initialization']): void => {
    const fan = { in: inputs, out: rank };
    edit.setInitializer(which.name, drawTensor(dtype, which.dims, { initialization, fan, seed, name: which.name }));
  };
  draw(a, first === undefined ? 'zeros' : 'kaiming-uniform');
  draw(b, first === undefined ? { normal: 1 } : 'zeros');
  edit.setInitializer(scale, Tensor.scalar(dtype, alpha / rank));

  for (const { node, transposed } of uses) {
    const [result] = node.output;
    const added: NodeProto[] = [];
    const step = (
      part: string,
      op: string,
      input: string[],
      output = edit.uniqueName(`${result}.lora_${part}`),
    ): string => {
      const attributes = op === 'Transpose' ? { perm: [1, 0] } : op === 'Gather' ? { axis: 0 } : {};
      added.push(makeNode(`${node.name || result}/lora_${part}`, op, input, output, attributes));
      return output;
    };
    const [down, up] = transposed
      ? [step('right', 'Transpose', [right.name]), step('left', 'Transpose', [left.name])]
      : [left.name, right.name];
    let x = node.input[0];
    if (node.opType === 'Gemm' && intAttribute(node, 'transA', 0) === 1) x = step('input', 'Transpose', [x]);
    let low =
      node.opType === 'Gather' ? step('down', 'Gather', [down, node.input[1]]) : step('down', 'MatMul', [x, down]);
    low = step('scaled', 'Mul', [low, scale]);
    const factor = node.opType === 'Gemm' ? (node.attribute.find((each) => each.name === 'alpha')?.f ?? 1) : 1;
    if (factor !== 1) {
      const constant = edit.uniqueName(`${result}.lora_alpha`);
      edit.setInitializer(constant, Tensor.scalar(dtype, factor));
      low = step('factor', 'Mul', [low, constant]);
    }
    const update = step('up', 'MatMul', [low, up]);
    const base = edit.uniqueName(`${result}.lora_base`);
    const changed = edit.replace(node, { output: [base, ...node.output.slice(1)] });
    step('sum', 'Add', [base, update], result);
    edit.insertAfter(changed, ...added);
  }
}

/**
 * The model without its adapters, these added into the weights: W + (alpha / rank) · A·B, summed in float64 and rounded
 * once. The nodes are those that there were before {@link addAdapters}, but a quantized weight becomes a float one: Identity
 * stands for its DequantizeLinear, MatMul for MatMulNBits and MatMulBnb4. Keep the adapters beside it to keep it small.
 *
 * @throws {OnnxError} `invalid-argument` for a model without adapters, or with others than `addAdapters` writes
 */
export function mergeAdapters(model: Model): Model {
  requireModel('mergeAdapters()', model);
  const edit = new ModelEdit(model);
  const names = [...edit.initializers.keys()].flatMap((name) => (name.endsWith('.lora_A') ? name.slice(0, -7) : []));
  if (names.length === 0) {
    refuse(
      `mergeAdapters: ${model.source} has no initializer '….lora_A'; it has ${listNames([...edit.initializers.keys()])}`,
    );
  }
  for (const name of names) merge(edit, name);
  return edit.finish();
}

function merge(edit: ModelEdit, name: string): void {
  const parts = ['lora_A', 'lora_B', 'lora_scale'].map((part) => `${name}.${part}`);
  const tensors = [name, ...parts].map((each) => {
    const tensor = edit.initializers.get(each);
    return tensor === undefined
      ? refuse(`mergeAdapters: the adapter of '${name}' lacks '${each}'`)
      : Tensor.fromProto(tensor);
  });
  const [stored, a, b, scale] = tensors;
  const isFloat = !isQuantized(stored.toProto(name));
  const user = edit.consumers(name).find((node) => isDequantization(node) || isPackedProduct(node));
  if (!isFloat && user === undefined) refuse(`mergeAdapters: nothing makes floats of '${name}'`);
  const weight = isFloat || user === undefined ? stored : dequantized(edit, user);
  const [left, right] = a.dims[0] > a.dims[1] ? [a, b] : [b, a];
  const [rows, columns, rank] = [left.dims[0], right.dims[1], left.dims[1]];
  if (weight.dims[0] !== rows || weight.dims[1] !== columns || right.dims[0] !== rank) {
    refuse(`mergeAdapters: the shapes of '${name}' and of its adapter do not fit together`);
  }
  const merged = Tensor.of(weight.dtype, weight.dims, sum(weight, left, right, scale.toNumbers()[0]));

  const derived = new Set(parts);
  const removed = new Set<NodeProto>();
  const bases = new Map<string, string>();
  for (const node of edit.nodes) {
    const own = node.input.filter((input) => derived.has(input));
    if (own.length === 0) continue;
    removed.add(node);
    const [other] = node.input.filter((input) => !derived.has(input));
    if (node.opType === 'Add' && own.length === 1) bases.set(other, node.output[0]);
    else if (['Transpose', 'MatMul', 'Mul', 'Gather'].includes(node.opType)) derived.add(node.output[0]);
    else
      refuse(`mergeAdapters: ${labelOf(node)} uses the adapter of '${name}' in a way that addAdapters does not write`);
  }
  const helpers = edit.nodes.filter(
    (node) =>
      node.name.endsWith('/lora_input') && edit.consumers(node.output[0]).every((consumer) => removed.has(consumer)),
  );
  const constants = [...removed].flatMap(({ input }) => input.filter((each) => each.endsWith('.lora_alpha')));
  edit.remove(new Set([...removed, ...helpers]));
  for (const each of [...parts, ...constants]) edit.initializers.delete(each);
  for (const [base, output] of bases) {
    const node = edit.producer(base);
    if (node !== undefined) edit.replace(node, { output: node.output.map((each) => (each === base ? output : each)) });
  }
  if (isFloat) edit.setInitializer(name, merged);
  else replaceQuantized(edit, name, merged);
}

/** weight + scale · left · right. */
function sum(weight: Tensor, left: Tensor, right: Tensor, scale: number): FloatArray {
  const [w, l, r] = [weight, left, right].map(({ data }) => data as FloatArray);
  const [rows, columns, rank] = [left.dims[0], right.dims[1], left.dims[1]];
  const merged = w.slice();
  const row = new Float64Array(columns);
  for (let i = 0; i < rows; i++) {
    row.fill(0);
    for (let k = 0; k < rank; k++) {
      const factor = scale * l[i * rank + k];
      for (let j = 0; j < columns; j++) row[j] += factor * r[k * columns + j];
    }
    for (let j = 0; j < columns; j++) merged[i * columns + j] += row[j];
  }
  return merged;
}
