import type { Attributes, Node } from '@adakit/onnx';
import type { Tensor } from './tensor.js';

/** One application of an operator. */
export interface Call {
  readonly node: Node;
  readonly attributes: Attributes;
  /** The inputs listed; undefined where one is left out. */
  readonly inputs: readonly (Tensor | undefined)[];
  /** Input `index`; it is an error when it is left out. */
  input(index: number): Tensor;
  /** The values of an integer input that may be left out. */
  ints(index: number): readonly number[] | undefined;
  /** What random operators drew: outputs of the node that were given from outside. */
  given(output: number): Tensor;
}

/** Computes the outputs of an operator from the definition in the ONNX specification, as plainly as possible. */
export type Kernel = (call: Call) => Tensor | readonly Tensor[];

export type Kernels = Readonly<Record<string, Kernel>>;
