import { Abs } from './abs.js';
import { Acos } from './acos.js';
import { Acosh } from './acosh.js';
import { Add } from './add.js';
import { And } from './and.js';
import { ArgMax } from './arg-max.js';
import { ArgMin } from './arg-min.js';
import { Asin } from './asin.js';
import { Asinh } from './asinh.js';
import { Atan } from './atan.js';
import { Atanh } from './atanh.js';
import { Attention } from './attention.js';
import { AveragePool } from './average-pool.js';
import { BatchNormalization } from './batch-normalization.js';
import { Bernoulli } from './bernoulli.js';
import { BiasGelu } from './microsoft/bias-gelu.js';
import { BitShift } from './bit-shift.js';
import { BitwiseAnd } from './bitwise-and.js';
import { BitwiseNot } from './bitwise-not.js';
import { BitwiseOr } from './bitwise-or.js';
import { BitwiseXor } from './bitwise-xor.js';
import { BlackmanWindow, HammingWindow, HannWindow } from './signal/windows.js';
import { Cast } from './cast.js';
import { CastLike } from './cast-like.js';
import { Ceil } from './ceil.js';
import { Celu } from './celu.js';
import { Clip } from './clip.js';
import { Compress } from './compress.js';
import { Concat } from './concat.js';
import { ConcatFromSequence } from './sequence/concat-from-sequence.js';
import { Constant } from './constant.js';
import { ConstantOfShape } from './constant-of-shape.js';
import { Conv } from './conv.js';
import { ConvInteger } from './quantized/conv-integer.js';
import { ConvTranspose } from './conv-transpose.js';
import { Cos } from './cos.js';
import { Cosh } from './cosh.js';
import { CTCLoss } from './ctc-loss.js';
import { CumSum } from './cum-sum.js';
import { DepthToSpace } from './depth-to-space.js';
import { DequantizeLinear } from './dequantize-linear.js';
import { Det } from './det.js';
import { Div } from './div.js';
import { Dropout } from './dropout.js';
import { DynamicQuantizeLinear } from './quantized/dynamic-quantize-linear.js';
import { Einsum } from './einsum.js';
import { Elu } from './elu.js';
import { Equal } from './equal.js';
import { Erf } from './erf.js';
import { Exp } from './exp.js';
import { Expand } from './expand.js';
import { EyeLike } from './eye-like.js';
import { FastGelu } from './microsoft/fast-gelu.js';
import { Flatten } from './flatten.js';
import { Floor } from './floor.js';
import { FusedConv } from './microsoft/fused-conv.js';
import { FusedGemm } from './microsoft/fused-gemm.js';
import { FusedMatMul } from './microsoft/fused-mat-mul.js';
import { Gather } from './gather.js';
import { GatherElements } from './gather-elements.js';
import { GatherND } from './gather-nd.js';
import { Gelu } from './gelu.js';
import { Gemm } from './gemm.js';
import { GlobalAveragePool } from './global-average-pool.js';
import { GlobalLpPool } from './global-lp-pool.js';
import { GlobalMaxPool } from './global-max-pool.js';
import { Greater } from './greater.js';
import { GreaterOrEqual } from './greater-or-equal.js';
import { GridSample } from './grid-sample.js';
import { GroupNormalization } from './group-normalization.js';
import { GRU } from './recurrent/gru.js';
import { Hardmax } from './hardmax.js';
import { HardSigmoid } from './hard-sigmoid.js';
import { HardSwish } from './hard-swish.js';
import { Identity } from './identity.js';
import { If } from './control-flow/if.js';
import { InstanceNormalization } from './instance-normalization.js';
import { IsInf } from './is-inf.js';
import { IsNaN } from './is-nan.js';
import { LayerNormalization } from './layer-normalization.js';
import { LeakyRelu } from './leaky-relu.js';
import { Less } from './less.js';
import { LessOrEqual } from './less-or-equal.js';
import { Log } from './log.js';
import { LogSoftmax } from './log-softmax.js';
import { Loop } from './control-flow/loop.js';
import { LpNormalization } from './lp-normalization.js';
import { LpPool } from './lp-pool.js';
import { LRN } from './lrn.js';
import { LSTM } from './recurrent/lstm.js';
import { MatMul } from './mat-mul.js';
import { MatMulInteger } from './quantized/mat-mul-integer.js';
import { Max } from './max.js';
import { MaxPool } from './max-pool.js';
import { MaxUnpool } from './max-unpool.js';
import { Mean } from './mean.js';
import { MeanVarianceNormalization } from './mean-variance-normalization.js';
import { MelWeightMatrix } from './signal/mel-weight-matrix.js';
import { MicrosoftGelu } from './microsoft/gelu.js';
import { Min } from './min.js';
import { Mish } from './mish.js';
import { Mod } from './mod.js';
import { Mul } from './mul.js';
import { Neg } from './neg.js';
import { NegativeLogLikelihoodLoss } from './negative-log-likelihood-loss.js';
import { NonMaxSuppression } from './non-max-suppression.js';
import { NonZero } from './non-zero.js';
import { Not } from './not.js';
import { OneHot } from './one-hot.js';
import type { Operator, OperatorTable } from './operator.js';
import { Or } from './or.js';
import { Pad } from './pad.js';
import { Pow } from './pow.js';
import { PRelu } from './p-relu.js';
import { QLinearConv, QLinearMatMul } from './quantized/q-linear.js';
import { QuantizeLinear } from './quantized/quantize-linear.js';
import { QuickGelu } from './microsoft/quick-gelu.js';
import { RandomNormal } from './random-normal.js';
import { RandomNormalLike } from './random-normal-like.js';
import { RandomUniform } from './random-uniform.js';
import { RandomUniformLike } from './random-uniform-like.js';
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
import { Resize } from './resize/resize.js';
import { ReverseSequence } from './reverse-sequence.js';
import { RMSNormalization, SimplifiedLayerNormalization } from './rms-normalization.js';
import { RNN } from './recurrent/rnn.js';
import { RoiAlign } from './roi-align.js';
import { RotaryEmbedding } from './rotary-embedding.js';
import { Round } from './round.js';
import { Scan } from './control-flow/scan.js';
import { Scatter } from './scatter.js';
import { ScatterElements } from './scatter-elements.js';
import { ScatterND } from './scatter-nd.js';
import { Selu } from './selu.js';
import { SequenceAt } from './sequence/sequence-at.js';
import { SequenceConstruct } from './sequence/sequence-construct.js';
import { Shape } from './shape.js';
import { Shrink } from './shrink.js';
import { Sigmoid } from './sigmoid.js';
import { Sign } from './sign.js';
import { Sin } from './sin.js';
import { Sinh } from './sinh.js';
import { Size } from './size.js';
import { SkipLayerNormalization, SkipSimplifiedLayerNormalization } from './microsoft/skip-layer-normalization.js';
import { Slice } from './slice.js';
import { Softmax } from './softmax.js';
import { SoftmaxCrossEntropyLoss } from './softmax-cross-entropy-loss.js';
import { Softplus } from './softplus.js';
import { Softsign } from './softsign.js';
import { SpaceToDepth } from './space-to-depth.js';
import { Split } from './split.js';
import { SplitToSequence } from './sequence/split-to-sequence.js';
import { Sqrt } from './sqrt.js';
import { Squeeze } from './squeeze.js';
import { Sub } from './sub.js';
import { Sum } from './sum.js';
import { Swish } from './swish.js';
import { Tan } from './tan.js';
import { Tanh } from './tanh.js';
import { ThresholdedRelu } from './thresholded-relu.js';
import { Tile } from './tile.js';
import { TopK } from './top-k.js';
import { Transpose } from './transpose.js';
import { Trilu } from './trilu.js';
import { Unique } from './unique.js';
import { Unsqueeze } from './unsqueeze.js';
import { Upsample } from './resize/upsample.js';
import { Where } from './where.js';
import { Xor } from './xor.js';

/** Every operator this package knows, in alphabetical order: one file each. */
const OPERATORS: readonly Operator[] = [
  Abs,
  Acos,
  Acosh,
  Add,
  And,
  ArgMax,
  ArgMin,
  Asin,
  Asinh,
  Atan,
  Atanh,
  Attention,
  AveragePool,
  BatchNormalization,
  Bernoulli,
  BiasGelu,
  BitShift,
  BitwiseAnd,
  BitwiseNot,
  BitwiseOr,
  BitwiseXor,
  BlackmanWindow,
  Cast,
  CastLike,
  Ceil,
  Celu,
  Clip,
  Compress,
  Concat,
  ConcatFromSequence,
  Constant,
  ConstantOfShape,
  Conv,
  ConvInteger,
  ConvTranspose,
  Cos,
  Cosh,
  CTCLoss,
  CumSum,
  DepthToSpace,
  DequantizeLinear,
  Det,
  Div,
  Dropout,
  DynamicQuantizeLinear,
  Einsum,
  Elu,
  Equal,
  Erf,
  Exp,
  Expand,
  EyeLike,
  FastGelu,
  Flatten,
  Floor,
  FusedConv,
  FusedGemm,
  FusedMatMul,
  Gather,
  GatherElements,
  GatherND,
  Gelu,
  Gemm,
  GlobalAveragePool,
  GlobalLpPool,
  GlobalMaxPool,
  Greater,
  GreaterOrEqual,
  GridSample,
  GroupNormalization,
  GRU,
  HammingWindow,
  HannWindow,
  Hardmax,
  HardSigmoid,
  HardSwish,
  Identity,
  If,
  InstanceNormalization,
  IsInf,
  IsNaN,
  LayerNormalization,
  LeakyRelu,
  Less,
  LessOrEqual,
  Log,
  LogSoftmax,
  Loop,
  LpNormalization,
  LpPool,
  LRN,
  LSTM,
  MatMul,
  MatMulInteger,
  Max,
  MaxPool,
  MaxUnpool,
  Mean,
  MeanVarianceNormalization,
  MelWeightMatrix,
  MicrosoftGelu,
  Min,
  Mish,
  Mod,
  Mul,
  Neg,
  NegativeLogLikelihoodLoss,
  NonMaxSuppression,
  NonZero,
  Not,
  OneHot,
  Or,
  Pad,
  Pow,
  PRelu,
  QLinearConv,
  QLinearMatMul,
  QuantizeLinear,
  QuickGelu,
  RandomNormal,
  RandomNormalLike,
  RandomUniform,
  RandomUniformLike,
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
  Resize,
  ReverseSequence,
  RMSNormalization,
  RNN,
  RoiAlign,
  RotaryEmbedding,
  Round,
  Scan,
  Scatter,
  ScatterElements,
  ScatterND,
  Selu,
  SequenceAt,
  SequenceConstruct,
  Shape,
  Shrink,
  Sigmoid,
  Sign,
  SimplifiedLayerNormalization,
  Sin,
  Sinh,
  Size,
  SkipLayerNormalization,
  SkipSimplifiedLayerNormalization,
  Slice,
  Softmax,
  SoftmaxCrossEntropyLoss,
  Softplus,
  Softsign,
  SpaceToDepth,
  Split,
  SplitToSequence,
  Sqrt,
  Squeeze,
  Sub,
  Sum,
  Swish,
  Tan,
  Tanh,
  ThresholdedRelu,
  Tile,
  TopK,
  Transpose,
  Trilu,
  Unique,
  Unsqueeze,
  Upsample,
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
