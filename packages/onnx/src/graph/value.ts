import type { TypeProto } from 'onnx-buf';
import type { DType } from '../model/dtype.js';
import type { Tensor } from '../model/tensor.js';
import type { Dim } from '../shape/dim.js';
import type { Equalities } from '../shape/equalities.js';
import { MAX_CONTENTS, type Shape } from '../shape/shape.js';
import { constantTensor } from './constant.js';
import type { Node } from './node.js';

/** The elements of a small integer or bool tensor of rank 0 or 1; false and true are 0 and 1. */
export type Contents = readonly Dim[];

/** What shape inference knows about a value. */
export interface ValueInfo {
  dtype?: DType | undefined;
  /** Undefined while even the rank is unknown. */
  shape?: Shape | undefined;
  /** Known elements; what makes `Shape → Gather → Concat → Reshape` chains resolve. */
  contents?: Contents | undefined;
  /**
   * The same of a tensor of higher rank, in row-major order. Only what rearranges elements looks at them: PyTorch turns
   * the pads of F.pad around in a matrix of pairs.
   */
  flatContents?: Contents | undefined;
}

/** Dtypes whose elements can be {@link Contents}. */
const COUNTABLE: ReadonlySet<DType | undefined> = new Set<DType | undefined>(['int64', 'int32', 'bool']);

/** An edge of the graph: a graph input, an initializer, or the output of one node. */
export class Value implements ValueInfo {
  /** Unique in its graph; change it with `Graph.rename` only. */
  name: string;
  dtype: DType | undefined;
  /** The node that computes it; undefined for graph inputs and initializers. */
  producer: Node | undefined;
  /** The constant, for an initializer; changed by its `Graph` alone, when it becomes an input. */
  tensor: Tensor | undefined;
  /** The declared type of a value that is no tensor (sequence, map, optional), kept as the file says it. */
  readonly type: TypeProto | undefined;
  readonly #equalities: Equalities;
  /** How many equalities the dimensions below have been resolved by. */
  #resolved = 0;
  #shape: Shape | undefined;
  #contents: Contents | undefined;
  #flatContents: Contents | undefined;

  /** Internal: values are made by their `Graph`, which keeps names unique. */
  constructor(
    name: string,
    equalities: Equalities,
    info: ValueInfo & { tensor?: Tensor; type?: TypeProto | undefined } = {},
  ) {
    this.name = name;
    this.dtype = info.dtype;
    this.tensor = info.tensor;
    this.type = info.type;
    this.#equalities = equalities;
    this.#shape = info.shape;
    this.#contents = info.contents;
    this.#flatContents = info.flatContents;
  }

  get shape(): Shape | undefined {
    this.#resolve();
    return this.#shape;
  }

  set shape(shape: Shape | undefined) {
    this.#shape = shape;
    this.#resolved = 0;
  }

  /** The elements, where they are known. */
  get contents(): Contents | undefined {
    if (this.#contents === undefined && this.tensor !== undefined) this.#contents = tensorContents(this.tensor);
    this.#resolve();
    return this.#contents;
  }

  set contents(contents: Contents | undefined) {
    this.#contents = contents;
    this.#resolved = 0;
  }

  get flatContents(): Contents | undefined {
    this.#resolve();
    return this.#flatContents;
  }

  set flatContents(contents: Contents | undefined) {
    this.#flatContents = contents;
    this.#resolved = 0;
  }

  /** The tensor of an initializer or of a Constant node. */
  get constant(): Tensor | undefined {
    if (this.tensor !== undefined) return this.tensor;
    return this.producer?.key === 'Constant' ? constantTensor(this.producer) : undefined;
  }

  #resolve(): void {
    const equalities = this.#equalities;
    if (this.#resolved === equalities.count) return;
    this.#resolved = equalities.count;
    this.#shape &&= equalities.resolveAll(this.#shape);
    this.#contents &&= equalities.resolveAll(this.#contents);
    this.#flatContents &&= equalities.resolveAll(this.#flatContents);
  }
}

/** The contents of a constant, when it is small, of an integer dtype and of rank 0 or 1. */
export function tensorContents(tensor: Tensor): Contents | undefined {
  if (!COUNTABLE.has(tensor.dtype) || tensor.dims.length > 1 || tensor.size > MAX_CONTENTS) return undefined;
  return tensor.toNumbers();
}
