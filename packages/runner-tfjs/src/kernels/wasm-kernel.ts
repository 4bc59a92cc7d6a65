import type { NamedAttrMap, NamedTensorMap, TensorInfo } from '@tensorflow/tfjs-core';

/** Computes a kernel from its tensors and attributes, by the names that TensorFlow.js gives them. */
export type KernelFunction = (inputs: NamedTensorMap, attributes: NamedAttrMap) => TensorInfo;

/**
 * A kernel that training needs and that the wasm backend of TensorFlow.js lacks, or gets wrong.
 *
 * @typeParam A its attributes; left out where nobody calls it
 * @typeParam T its tensors, by name
 */
export interface WasmKernel<A extends object = never, T extends NamedTensorMap = never> {
  /** As TensorFlow.js calls it, e.g. `Conv2DBackpropFilter`. */
  readonly name: string;
  /** Computes the kernel with operations of the wasm backend; `original` is the backend's own, if it has one. */
  readonly compute: (inputs: T, attributes: A, original?: KernelFunction) => TensorInfo;
  /**
   * Runs the kernel that the current backend has on a small case that the wasm backend's own gets wrong.
   *
   * @returns whether it is right; a kernel without this test is right wherever there is one
   */
  readonly isRight?: () => boolean;
}
