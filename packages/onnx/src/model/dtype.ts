import { TensorProto_DataType as Code } from 'onnx-buf';
import { OnnxError } from '../error.js';

/** Element types by the names used throughout adakit, with their ONNX codes. */
const CODES = {
  float32: Code.FLOAT,
  uint8: Code.UINT8,
  int8: Code.INT8,
  uint16: Code.UINT16,
  int16: Code.INT16,
  int32: Code.INT32,
  int64: Code.INT64,
  string: Code.STRING,
  bool: Code.BOOL,
  float16: Code.FLOAT16,
  float64: Code.DOUBLE,
  uint32: Code.UINT32,
  uint64: Code.UINT64,
  complex64: Code.COMPLEX64,
  complex128: Code.COMPLEX128,
  bfloat16: Code.BFLOAT16,
  float8e4m3fn: Code.FLOAT8E4M3FN,
  float8e4m3fnuz: Code.FLOAT8E4M3FNUZ,
  float8e5m2: Code.FLOAT8E5M2,
  float8e5m2fnuz: Code.FLOAT8E5M2FNUZ,
  uint4: Code.UINT4,
  int4: Code.INT4,
  float4e2m1: Code.FLOAT4E2M1,
  float8e8m0: Code.FLOAT8E8M0,
  uint2: Code.UINT2,
  int2: Code.INT2,
} as const;

/** Element types of ONNX tensors, by the names that ONNX gives them in lower case. */
export type DType = keyof typeof CODES;

const NAMES = new Map<number, DType>((Object.keys(CODES) as DType[]).map((name) => [CODES[name], name]));

/** Types of half precision: of 11 and of 8 bits of significand. */
export type HalfPrecision = 'float16' | 'bfloat16';

/** What products are computed in: see `docs/mixed-precision.md`. */
export type ComputePrecision = 'float32' | HalfPrecision;

/** The ONNX code of a dtype. */
export function dtypeCode(dtype: DType): Code {
  return CODES[dtype];
}

/** The dtype with an ONNX code, or undefined for `UNDEFINED` and codes newer than this package. */
export function dtypeFromCode(code: number): DType | undefined {
  return NAMES.get(code);
}

/** As {@link dtypeFromCode}, for places where a dtype must be known; `where` names the place in the error. */
export function requireDType(code: number, where: string): DType {
  const dtype = NAMES.get(code);
  if (dtype === undefined) {
    throw new OnnxError(
      'unsupported-dtype',
      `${where} has the element type code ${code}, which this version does not know; export the model with a standard dtype`,
    );
  }
  return dtype;
}

/** Dtypes that gradients flow through. */
const DIFFERENTIABLE: ReadonlySet<DType> = new Set<DType>(['float32', 'float64', 'float16', 'bfloat16']);

/** Whether values of this dtype can carry a gradient. */
export function isDifferentiable(dtype: DType | undefined): boolean {
  return dtype !== undefined && DIFFERENTIABLE.has(dtype);
}
