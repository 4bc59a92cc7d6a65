import type { Node } from '../graph/node.js';
import { operators } from '../operators/index.js';

/**
 * What an operator does with one of its inputs:
 * - `weight`: a learned tensor whenever it is constant;
 * - `factor`: one side of a product of matrices, learned when the other side is not constant;
 * - `operand`: added to, multiplied with or put beside activations; learned if these were computed by a layer;
 * - `lookup`: a table that is read at computed places;
 * - `data`: passes through, so that what the output is used for counts;
 * - `statistic`: kept by the runtime of the training, not learned;
 * - `aside`: used, but not learned: bounds, exponents, indices;
 * - `setting`: says how to compute (axes, sizes, scales of an image), as an attribute would.
 */
export type RoleKind = 'weight' | 'factor' | 'operand' | 'lookup' | 'data' | 'statistic' | 'aside' | 'setting';

export interface Role {
  readonly kind: RoleKind;
  /** What a constant at this input is, as shown to the user. */
  readonly what: string;
}

const role = (kind: RoleKind, what: string): Role => ({ kind, what });

const DATA = role('data', 'in a place that weights do not take');
const SETTING = role('setting', 'a setting of the operator');
const WEIGHTS = role('weight', 'weights of a layer');
const KERNEL = role('weight', 'convolution kernel');
const BIAS = role('weight', 'bias');
const GAIN = role('weight', 'scale of a normalization');
const STATISTIC = role('statistic', 'running statistics');
const FACTOR = role('factor', 'weight matrix');
/** A bias or a position embedding. */
export const ADDED = role('operand', 'added to activations');
const SCALES = role('operand', 'scales activations');
const JOINED = role('operand', 'joined to activations');
const FILLED = role('operand', 'filled into activations');
const TABLE = role('lookup', 'embedding table');
const INDICES = role('aside', 'indices');
const BOUND = role('aside', 'a bound');
const WRITTEN = role('aside', 'what values are written into');
const VARIANCE = role('aside', 'below a root or inverted, like a variance');
const ANGLE = role('aside', 'angles of a sine or cosine');
const QUANTIZATION = role('setting', 'quantization parameters');

/** The roles of the inputs of a node; the last one goes for all further inputs. */
const ROLES: Readonly<Partial<Record<string, readonly Role[]>>> = {
  Conv: [DATA, KERNEL, BIAS],
  ConvTranspose: [DATA, KERNEL, BIAS],
  Gemm: [FACTOR, FACTOR, BIAS],
  MatMul: [FACTOR],
  Einsum: [FACTOR],
  LSTM: [
    DATA,
    WEIGHTS,
    WEIGHTS,
    BIAS,
    SETTING,
    role('aside', 'an initial state'),
    role('aside', 'an initial state'),
    WEIGHTS,
  ],
  GRU: [DATA, WEIGHTS, WEIGHTS, BIAS, SETTING, role('aside', 'an initial state')],
  RNN: [DATA, WEIGHTS, WEIGHTS, BIAS, SETTING, role('aside', 'an initial state')],
  BatchNormalization: [DATA, GAIN, BIAS, STATISTIC, STATISTIC],
  InstanceNormalization: [DATA, GAIN, BIAS],
  LayerNormalization: [DATA, GAIN, BIAS],
  GroupNormalization: [DATA, GAIN, BIAS],
  RMSNormalization: [DATA, GAIN],
  PRelu: [DATA, role('weight', 'slopes')],
  'com.microsoft::BiasGelu': [DATA, BIAS],
  'com.microsoft::FastGelu': [DATA, BIAS],
  Attention: [DATA, DATA, DATA, ADDED, WRITTEN, WRITTEN],
  RotaryEmbedding: [DATA, role('aside', 'a cache of rotations'), role('aside', 'a cache of rotations'), INDICES],

  Add: [ADDED],
  Sum: [ADDED],
  Mean: [ADDED],
  Mul: [SCALES],
  Sub: [DATA, role('aside', 'subtracted, like a mean')],
  Div: [DATA, role('aside', 'a divisor, like a deviation')],
  Pow: [DATA, role('aside', 'an exponent')],
  Mod: [DATA, BOUND],
  Max: [BOUND],
  Min: [BOUND],
  Sqrt: [VARIANCE],
  Reciprocal: [VARIANCE],
  Sin: [ANGLE],
  Cos: [ANGLE],
  Concat: [JOINED],
  Where: [role('aside', 'a condition'), FILLED],

  Gather: [TABLE, INDICES],
  GatherElements: [TABLE, INDICES],
  GatherND: [TABLE, INDICES],
  ScatterElements: [WRITTEN, INDICES, WRITTEN],
  ScatterND: [WRITTEN, INDICES, WRITTEN],

  Clip: [DATA, role('setting', 'a bound')],
  Pad: [DATA, SETTING, role('setting', 'a padding value'), SETTING],
  Resize: [DATA, role('setting', 'sizes or scales of an image')],
  Upsample: [DATA, role('setting', 'sizes or scales of an image')],
  DequantizeLinear: [DATA, QUANTIZATION],
  QuantizeLinear: [DATA, QUANTIZATION],
  Dropout: [DATA, role('setting', 'a rate of dropout')],
  Expand: [DATA, SETTING],
  Reshape: [DATA, SETTING],
  Slice: [DATA, SETTING],
  Split: [DATA, SETTING],
  Squeeze: [DATA, SETTING],
  Tile: [DATA, SETTING],
  TopK: [DATA, SETTING],
  Trilu: [DATA, SETTING],
  Unsqueeze: [DATA, SETTING],
  CumSum: [DATA, SETTING],
  ReduceL1: [DATA, SETTING],
  ReduceL2: [DATA, SETTING],
  ReduceLogSum: [DATA, SETTING],
  ReduceLogSumExp: [DATA, SETTING],
  ReduceMax: [DATA, SETTING],
  ReduceMean: [DATA, SETTING],
  ReduceMin: [DATA, SETTING],
  ReduceProd: [DATA, SETTING],
  ReduceSum: [DATA, SETTING],
  ReduceSumSquare: [DATA, SETTING],
};

/** What a node does with its input `index`. */
export function roleOf(node: Node, index: number): Role {
  const roles = ROLES[node.key];
  if (roles !== undefined) return roles[Math.min(index, roles.length - 1)];
  const gradient = operators.get(node.key)?.gradient;
  return typeof gradient === 'function' ? DATA : role('aside', `no gradient passes ${node.op}`);
}
