import { Add } from './add.js';
import { And } from './and.js';
import { Cast } from './cast.js';
import { Concat } from './concat.js';
import { ConstantOfShape } from './constant-of-shape.js';
import { Constant } from './constant.js';
import { Div } from './div.js';
import { Equal } from './equal.js';
import { Exp } from './exp.js';
import { Expand } from './expand.js';
import { Gemm } from './gemm.js';
import { GreaterOrEqual } from './greater-or-equal.js';
import { Greater } from './greater.js';
import { Identity } from './identity.js';
import { LeakyRelu } from './leaky-relu.js';
import { LessOrEqual } from './less-or-equal.js';
import { Less } from './less.js';
import { Log } from './log.js';
import { MatMul } from './mat-mul.js';
import { Mul } from './mul.js';
import { Neg } from './neg.js';
import { NonZero } from './non-zero.js';
import { Not } from './not.js';
import type { Operator, OperatorTable } from './operator.js';
import { Or } from './or.js';
import { Pow } from './pow.js';
import { ReduceSum } from './reduce-sum.js';
import { Relu } from './relu.js';
import { Reshape } from './reshape.js';
import { Shape } from './shape.js';
import { Sigmoid } from './sigmoid.js';
import { Size } from './size.js';
import { Split } from './split.js';
import { Sqrt } from './sqrt.js';
import { Squeeze } from './squeeze.js';
import { Sub } from './sub.js';
import { Tanh } from './tanh.js';
import { Transpose } from './transpose.js';
import { Unsqueeze } from './unsqueeze.js';
import { Where } from './where.js';
import { Xor } from './xor.js';

/** Every operator this package knows, in alphabetical order: one file each. */
const OPERATORS: readonly Operator[] = [
  Add,
  And,
  Cast,
  Concat,
  Constant,
  ConstantOfShape,
  Div,
  Equal,
  Exp,
  Expand,
  Gemm,
  Greater,
  GreaterOrEqual,
  Identity,
  LeakyRelu,
  Less,
  LessOrEqual,
  Log,
  MatMul,
  Mul,
  Neg,
  NonZero,
  Not,
  Or,
  Pow,
  ReduceSum,
  Relu,
  Reshape,
  Shape,
  Sigmoid,
  Size,
  Split,
  Sqrt,
  Squeeze,
  Sub,
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
