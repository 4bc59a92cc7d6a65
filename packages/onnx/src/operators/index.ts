import { Abs } from './abs.js';
import { Add } from './add.js';
import { And } from './and.js';
import { ArgMax } from './arg-max.js';
import { ArgMin } from './arg-min.js';
import { AveragePool } from './average-pool.js';
import { BatchNormalization } from './batch-normalization.js';
import { Cast } from './cast.js';
import { Ceil } from './ceil.js';
import { Clip } from './clip.js';
import { Concat } from './concat.js';
import { Constant } from './constant.js';
import { ConstantOfShape } from './constant-of-shape.js';
import { Conv } from './conv.js';
import { ConvTranspose } from './conv-transpose.js';
import { Cos } from './cos.js';
import { Div } from './div.js';
import { Dropout } from './dropout.js';
import { Elu } from './elu.js';
import { Equal } from './equal.js';
import { Erf } from './erf.js';
import { Exp } from './exp.js';
import { Expand } from './expand.js';
import { Flatten } from './flatten.js';
import { Floor } from './floor.js';
import { Gather } from './gather.js';
import { GatherElements } from './gather-elements.js';
import { GatherND } from './gather-nd.js';
import { Gemm } from './gemm.js';
import { GlobalAveragePool } from './global-average-pool.js';
import { GlobalMaxPool } from './global-max-pool.js';
import { Greater } from './greater.js';
import { GreaterOrEqual } from './greater-or-equal.js';
import { GroupNormalization } from './group-normalization.js';
import { HardSigmoid } from './hard-sigmoid.js';
import { HardSwish } from './hard-swish.js';
import { Identity } from './identity.js';
import { InstanceNormalization } from './instance-normalization.js';
import { LayerNormalization } from './layer-normalization.js';
import { LeakyRelu } from './leaky-relu.js';
import { Less } from './less.js';
import { LessOrEqual } from './less-or-equal.js';
import { Log } from './log.js';
import { LogSoftmax } from './log-softmax.js';
import { LpNormalization } from './lp-normalization.js';
import { LRN } from './lrn.js';
import { MatMul } from './mat-mul.js';
import { Max } from './max.js';
import { MaxPool } from './max-pool.js';
import { MaxUnpool } from './max-unpool.js';
import { Mean } from './mean.js';
import { MeanVarianceNormalization } from './mean-variance-normalization.js';
import { Min } from './min.js';
import { Mod } from './mod.js';
import { Mul } from './mul.js';
import { Neg } from './neg.js';
import { NonZero } from './non-zero.js';
import { Not } from './not.js';
import { OneHot } from './one-hot.js';
import type { Operator, OperatorTable } from './operator.js';
import { Or } from './or.js';
import { Pad } from './pad.js';
import { Pow } from './pow.js';
import { Range } from './range.js';
import { Reciprocal } from './reciprocal.js';
import { ReduceL1 } from './reduce-l1.js';
import { ReduceL2 } from './reduce-l2.js';
import { ReduceLogSum } from './reduce-log-sum.js';
import { ReduceLogSumExp } from './reduce-log-sum-exp.js';
import { ReduceMax } from './reduce-max.js';
import { ReduceMean } from './reduce-mean.js';
import { ReduceMin } from './reduce-min.js';
import { ReduceProd } from './reduce-prod.js';
import { ReduceSum } from './reduce-sum.js';
import { ReduceSumSquare } from './reduce-sum-square.js';
import { Relu } from './relu.js';
import { Reshape } from './reshape.js';
import { RMSNormalization } from './rms-normalization.js';
import { Round } from './round.js';
import { ScatterElements } from './scatter-elements.js';
import { ScatterND } from './scatter-nd.js';
import { Shape } from './shape.js';
import { Sigmoid } from './sigmoid.js';
import { Sign } from './sign.js';
import { Sin } from './sin.js';
import { Size } from './size.js';
import { Slice } from './slice.js';
import { Softmax } from './softmax.js';
import { Softplus } from './softplus.js';
import { Split } from './split.js';
import { Sqrt } from './sqrt.js';
import { Squeeze } from './squeeze.js';
import { Sub } from './sub.js';
import { Sum } from './sum.js';
import { Tanh } from './tanh.js';
import { Transpose } from './transpose.js';
import { Unsqueeze } from './unsqueeze.js';
import { Where } from './where.js';
import { Xor } from './xor.js';

/** Every operator this package knows, in alphabetical order: one file each. */
const OPERATORS: readonly Operator[] = [
  Abs,
  Add,
  And,
  ArgMax,
  ArgMin,
  AveragePool,
  BatchNormalization,
  Cast,
  Ceil,
  Clip,
  Concat,
  Constant,
  ConstantOfShape,
  Conv,
  ConvTranspose,
  Cos,
  Div,
  Dropout,
  Elu,
  Equal,
  Erf,
  Exp,
  Expand,
  Flatten,
  Floor,
  Gather,
  GatherElements,
  GatherND,
  Gemm,
  GlobalAveragePool,
  GlobalMaxPool,
  Greater,
  GreaterOrEqual,
  GroupNormalization,
  HardSigmoid,
  HardSwish,
  Identity,
  InstanceNormalization,
  LayerNormalization,
  LeakyRelu,
  Less,
  LessOrEqual,
  Log,
  LogSoftmax,
  LpNormalization,
  LRN,
  MatMul,
  Max,
  MaxPool,
  MaxUnpool,
  Mean,
  MeanVarianceNormalization,
  Min,
  Mod,
  Mul,
  Neg,
  NonZero,
  Not,
  OneHot,
  Or,
  Pad,
  Pow,
  Range,
  Reciprocal,
  ReduceL1,
  ReduceL2,
  ReduceLogSum,
  ReduceLogSumExp,
  ReduceMax,
  ReduceMean,
  ReduceMin,
  ReduceProd,
  ReduceSum,
  ReduceSumSquare,
  Relu,
  Reshape,
  RMSNormalization,
  Round,
  ScatterElements,
  ScatterND,
  Shape,
  Sigmoid,
  Sign,
  Sin,
  Size,
  Slice,
  Softmax,
  Softplus,
  Split,
  Sqrt,
  Squeeze,
  Sub,
  Sum,
  Tanh,
  Transpose,
  Unsqueeze,
  Where,
  Xor,
];

/** The operator table, by `Op` (default domain) or `domain::Op`. */
export const operators: OperatorTable = new Map(
  OPERATORS.map((operator) => [
    operator.domain === undefined ? operator.op : `${operator.domain}::${operator.op}`,
    operator,
  ]),
);
