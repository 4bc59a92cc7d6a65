import type { DType } from '../model/dtype.js';

/** What a provider has for an operator. */
export interface Kernel {
  /** The dtypes of the first input that it has kernels for; any, when left out. */
  readonly dtypes?: readonly DType[];
  /** Inputs that it reads in the memory of the host, by position. */
  readonly host?: readonly number[];
  /** Whether its results lie in the memory of the host. */
  readonly onHost?: true;
}

const FLOATS: readonly DType[] = ['float16', 'float32', 'float64'];
const WIDE_INTEGERS: readonly DType[] = ['int32', 'int64', 'uint32', 'uint64'];
const NUMBERS: readonly DType[] = [...FLOATS, ...WIDE_INTEGERS];
const ALL_NUMBERS: readonly DType[] = [...NUMBERS, 'bfloat16', 'int8', 'int16', 'uint8', 'uint16'];
const BOOL: readonly DType[] = ['bool'];

const floats: Kernel = { dtypes: FLOATS };
/** In bfloat16 as well. */
const allFloats: Kernel = { dtypes: [...FLOATS, 'bfloat16'] };
const numbers: Kernel = { dtypes: NUMBERS };
const extremes: Kernel = { dtypes: [...NUMBERS, 'bfloat16'] };
const allNumbers: Kernel = { dtypes: ALL_NUMBERS };
const logical: Kernel = { dtypes: BOOL };
const anything: Kernel = {};
/** Of any elements, with axes or a shape as input 1. */
const shaped: Kernel = { host: [1] };
const reduction = (...others: readonly DType[]): Kernel => ({ dtypes: [...FLOATS, ...others], host: [1] });
/** Reads what it is told on the host: it is a node with bodies. */
const control: Kernel = { host: [0] };

/**
 * The kernels of ONNX Runtime's CUDA provider for the operators of ONNX at opset 18, with dtypes. What is not listed runs on
 * the CPU, between copies. From its list of kernels, `docs/OperatorKernels.md`, and the memory that their registrations name.
 */
export const CUDA_KERNELS: Readonly<Record<string, Kernel>> = {
  Abs: allNumbers,
  Add: allNumbers,
  And: logical,
  ArgMax: floats,
  ArgMin: floats,
  AveragePool: floats,
  BatchNormalization: floats,
  Cast: anything,
  Ceil: floats,
  Clip: { dtypes: [...FLOATS, 'int8', 'uint8', 'int64', 'uint64'], host: [1, 2] },
  Compress: anything,
  Concat: anything,
  ConstantOfShape: { host: [0] },
  Conv: floats,
  ConvTranspose: floats,
  Cos: floats,
  CumSum: { dtypes: NUMBERS, host: [1] },
  DepthToSpace: floats,
  Div: allNumbers,
  Dropout: { dtypes: [...FLOATS, 'bfloat16'], host: [1, 2] },
  Einsum: floats,
  Elu: floats,
  Equal: { dtypes: [...NUMBERS, 'bool'] },
  Erf: allFloats,
  Exp: allFloats,
  Expand: shaped,
  EyeLike: { dtypes: ['float32', 'float64', 'int32', 'int64', 'uint64'] },
  Flatten: anything,
  Floor: floats,
  GRU: { dtypes: FLOATS, host: [4] },
  Gather: anything,
  GatherElements: anything,
  GatherND: { dtypes: [...FLOATS, 'bfloat16', 'bool', 'int64'] },
  Gemm: allFloats,
  GlobalAveragePool: floats,
  GlobalMaxPool: floats,
  Greater: numbers,
  GreaterOrEqual: numbers,
  GridSample: { dtypes: ['float32'] },
  HardSigmoid: floats,
  HardSwish: floats,
  Identity: anything,
  If: control,
  InstanceNormalization: floats,
  IsInf: { dtypes: ['float32', 'float64'] },
  IsNaN: allFloats,
  LRN: floats,
  LSTM: { dtypes: FLOATS, host: [4] },
  LayerNormalization: allFloats,
  LeakyRelu: floats,
  Less: numbers,
  LessOrEqual: numbers,
  Log: floats,
  LogSoftmax: floats,
  Loop: { host: [0, 1] },
  MatMul: allFloats,
  MatMulInteger: { dtypes: ['int8'] },
  Max: extremes,
  MaxPool: { dtypes: [...FLOATS, 'int8', 'uint8'] },
  Min: extremes,
  Mod: extremes,
  Mul: allNumbers,
  Neg: { dtypes: [...FLOATS, 'bfloat16', 'int8', 'int16', 'int32', 'int64'] },
  NonZero: { dtypes: ['bool', 'float16', 'float32', 'int32', 'int64', 'uint8'] },
  Not: logical,
  OneHot: { dtypes: ['int32', 'int64'], host: [1] },
  Or: logical,
  PRelu: floats,
  Pad: { dtypes: [...FLOATS, 'bool'], host: [1, 2, 3] },
  Pow: { dtypes: [...FLOATS, 'bfloat16', 'int32', 'int64'] },
  RNN: { dtypes: FLOATS, host: [4] },
  RandomNormal: anything,
  RandomNormalLike: anything,
  RandomUniform: anything,
  RandomUniformLike: anything,
  Range: { dtypes: ['float32', 'float64', 'int16', 'int32', 'int64'], host: [0, 1, 2] },
  Reciprocal: floats,
  ReduceL1: reduction('int32'),
  ReduceL2: reduction('int32'),
  ReduceLogSum: reduction(),
  ReduceLogSumExp: reduction(),
  ReduceMax: reduction('int32', 'int64'),
  ReduceMean: reduction('int32'),
  ReduceMin: reduction('int8', 'uint8', 'int32', 'int64'),
  ReduceProd: reduction('int32'),
  ReduceSum: reduction('bfloat16', 'int32', 'int64'),
  ReduceSumSquare: reduction(),
  Relu: allFloats,
  Reshape: shaped,
  Resize: { dtypes: [...FLOATS, 'int32', 'uint8'], host: [1, 2, 3] },
  ReverseSequence: { host: [1] },
  RoiAlign: { dtypes: ['float32', 'float64'] },
  Round: floats,
  Scan: anything,
  ScatterElements: anything,
  ScatterND: anything,
  Selu: floats,
  Shape: { onHost: true },
  Shrink: allNumbers,
  Sigmoid: allFloats,
  Sign: allNumbers,
  Sin: floats,
  Size: { onHost: true },
  Slice: { host: [1, 2, 3, 4] },
  Softmax: allFloats,
  Softplus: floats,
  Softsign: floats,
  SpaceToDepth: floats,
  Split: shaped,
  Sqrt: allFloats,
  Squeeze: shaped,
  Sub: allNumbers,
  Sum: allFloats,
  Tanh: allFloats,
  ThresholdedRelu: floats,
  Tile: { dtypes: [...FLOATS, 'bfloat16', 'int32', 'int64'], host: [1] },
  TopK: { dtypes: [...FLOATS, 'int32', 'int64'], host: [1] },
  Transpose: anything,
  Trilu: { host: [1] },
  Unsqueeze: shaped,
  Upsample: { dtypes: [...FLOATS, 'int32', 'uint8'], host: [1] },
  Where: { dtypes: BOOL },
  Xor: logical,
  'com.microsoft::FusedMatMul': allFloats,
};
