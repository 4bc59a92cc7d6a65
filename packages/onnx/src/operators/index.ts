import { operatorTable, type Operator, type OperatorTable } from '../entry/operator.js';
import * as activation from './activation.js';
import * as arithmetic from './arithmetic.js';
import * as attention from './attention.js';
import * as averagePool from './average-pool.js';
import * as batchNormalization from './batch-normalization.js';
import * as canonical from './canonical.js';
import * as cast from './cast.js';
import * as compare from './compare.js';
import * as constant from './constant.js';
import * as blocked from './blocked.js';
import * as branch from './control-flow/if.js';
import * as loop from './control-flow/loop.js';
import * as scan from './control-flow/scan.js';
import * as convolution from './convolution.js';
import * as ctcLoss from './ctc-loss.js';
import * as einsum from './einsum.js';
import * as elementwise from './elementwise.js';
import * as gridSample from './grid-sample.js';
import * as image from './image.js';
import * as layout from './layout.js';
import * as linearAlgebra from './linear-algebra.js';
import * as logic from './logic.js';
import * as loss from './loss.js';
import * as microsoft from './microsoft.js';
import * as normalization from './normalization.js';
import * as pad from './pad.js';
import * as pool from './pool.js';
import * as quantized from './quantized.js';
import * as random from './random.js';
import * as recurrent from './recurrent.js';
import * as reduce from './reduce.js';
import * as selection from './selection.js';
import * as sequence from './sequence.js';
import * as shape from './shape.js';
import * as signal from './signal.js';
import * as slice from './slice.js';
import * as softmax from './softmax.js';

/** The files of entries. What they export are the operators of the table, each under its own name, and nothing else. */
const FAMILIES: readonly Readonly<Record<string, Operator>>[] = [
  activation,
  arithmetic,
  attention,
  averagePool,
  batchNormalization,
  blocked,
  branch,
  canonical,
  cast,
  compare,
  constant,
  convolution,
  ctcLoss,
  einsum,
  elementwise,
  gridSample,
  image,
  layout,
  linearAlgebra,
  logic,
  loop,
  loss,
  microsoft,
  normalization,
  pad,
  pool,
  quantized,
  random,
  recurrent,
  reduce,
  scan,
  selection,
  sequence,
  shape,
  signal,
  slice,
  softmax,
];

/** The operator table, by `Op` (default domain) or `domain::Op`. */
export const operators: OperatorTable = operatorTable(FAMILIES.flatMap((family) => Object.values(family)));
