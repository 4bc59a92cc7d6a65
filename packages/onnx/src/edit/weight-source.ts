import type { NodeProto, TensorProto } from 'onnx-buf';
import { dtypeFromCode } from '../model/dtype.js';
import { intAttribute, type ModelEdit } from './model-edit.js';
import { isDequantization, typeOfScales } from './quantized-weight.js';

/** The initializer behind an input of a node. */
export interface WeightSource {
  /** The initializer. */
  readonly name: string;
  readonly tensor: TensorProto;
  readonly dtype: 'float32' | 'float64';
  readonly dims: readonly number[];
  /** Whether what the node sees is the transpose. */
  readonly transposed: boolean;
  /** Whether it is used nowhere else. */
  readonly exclusive: boolean;
  /** The node that makes floats of it, where it is quantized. */
  readonly dequantization?: NodeProto;
}

/**
 * The float initializer that an input of a node is, as it is or behind Identity, Cast to its own type, and Transpose of a
 * matrix.
 *
 * @param quantized whether it may also be a quantized initializer behind DequantizeLinear
 */
export function weightSource(
  edit: ModelEdit,
  input: string | undefined,
  { quantized = false }: { readonly quantized?: boolean } = {},
): WeightSource | undefined {
  let name = input ?? '';
  let transposed = false;
  let exclusive = true;
  const steps = new Set<NodeProto>();
  for (;;) {
    exclusive &&= edit.consumers(name).length === 1 && !edit.isExposed(name);
    const tensor = edit.initializers.get(name);
    if (tensor !== undefined) {
      const dtype = dtypeFromCode(tensor.dataType);
      if (dtype !== 'float32' && dtype !== 'float64') return undefined;
      const dims = tensor.dims.map(Number);
      const kept = [...steps].every(
        (step) => step.opType !== 'Cast' || intAttribute(step, 'to', 0) === tensor.dataType,
      );
      return kept && !(transposed && dims.length !== 2)
        ? { name, tensor, dtype, dims, transposed, exclusive }
        : undefined;
    }
    const producer = edit.producer(name);
    if (quantized && producer !== undefined && isDequantization(producer)) {
      const dtype = typeOfScales(edit, producer);
      const stored = edit.initializers.get(producer.input[0]);
      if (dtype === undefined || stored === undefined || [...steps].some(({ opType }) => opType === 'Cast'))
        return undefined;
      const dims = stored.dims.map(Number);
      return { name: stored.name, tensor: stored, dtype, dims, transposed, exclusive, dequantization: producer };
    }
    if (producer === undefined || steps.has(producer) || !THROUGH.has(producer.opType)) return undefined;
    steps.add(producer);
    if (producer.opType === 'Transpose') {
      const perm = producer.attribute.find((each) => each.name === 'perm')?.ints.map(Number) ?? [1, 0];
      if (perm.length !== 2) return undefined;
      if (perm[0] === 1) transposed = !transposed;
    }
    name = producer.input[0];
  }
}

/** Operators behind which a weight is still itself. */
const THROUGH: ReadonlySet<string> = new Set(['Identity', 'Cast', 'Transpose']);

/** Whether the output of a node that reads a weight is still that weight. */
export function passesOn(node: NodeProto): boolean {
  return THROUGH.has(node.opType) || isDequantization(node);
}
