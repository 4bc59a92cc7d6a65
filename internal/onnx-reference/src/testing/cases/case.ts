import type { AttributeRecord, Emitter, Value } from '@adakit/onnx';

/** One application of an operator whose gradient is compared with central differences, in float64 unless said. */
export interface Case {
  readonly name: string;
  readonly dims: readonly (readonly number[])[];
  readonly build: (e: Emitter, ...inputs: Value[]) => Value;
  /** Where the input numbers, drawn from [-1, 1), are taken to. */
  readonly domain?: (x: number) => number;
  /** Dimensions of length 1 stay fixed always; with true, all stay. */
  readonly fixed?: boolean;
  /** The only length that becomes a free dimension. */
  readonly free?: number;
  /** The shape of the result, where it is known at run time only. */
  readonly size?: readonly number[];
  /**
   * For operators that are written in terms of others: the opset at which ONNX Runtime executes the operator itself, in
   * float32, to compare with.
   */
  readonly native?: number;
  /** ONNX Runtime has no double precision for what this needs: coarser differences in float32. */
  readonly single?: boolean;
}

export const positive = (x: number) => Math.abs(x) + 0.2;

/** Applies `op` to everything given. */
export const apply =
  (op: string, attributes: AttributeRecord = {}): Case['build'] =>
  (e, ...inputs) =>
    e.node(op, inputs, attributes);
