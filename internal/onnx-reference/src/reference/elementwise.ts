import type { Call, Kernel, Kernels } from './kernel.js';
import { broadcastAt, broadcastDims, elementAt, positiveAxis, sum, tabulate, type Tensor } from './tensor.js';

type Attribute = (name: string, fallback: number) => number;

/** y = f(x), element by element. */
function unary(f: (x: number, attribute: Attribute) => number): Kernel {
  return ({ input, attributes }) => {
    const { dtype, dims, data } = input(0);
    return { dtype, dims, data: data.map((x) => f(x, (name, fallback) => attributes.float(name, fallback))) };
  };
}

/** y = f(x₁, …, xₙ), element by element with broadcasting; of the dtype of x₁ unless told. */
function broadcasting(f: (elements: readonly number[]) => number, dtype?: Tensor['dtype']): Kernel {
  return (call) => {
    const inputs = allInputs(call);
    const dims = broadcastDims(...inputs.map((input) => input.dims));
    return tabulate(dtype ?? inputs[0].dtype, dims, (index) => f(inputs.map((input) => broadcastAt(input, index))));
  };
}

function binary(f: (a: number, b: number) => number, dtype?: Tensor['dtype']): Kernel {
  return broadcasting(([a, b]) => f(a, b), dtype);
}

function predicate(f: (a: number, b: number) => boolean): Kernel {
  return binary((a, b) => Number(f(a, b)), 'bool');
}

function allInputs({ inputs, input }: Call): readonly Tensor[] {
  return inputs.map((_, i) => input(i));
}

/** erf x = 2/√π e^(−x²) Σ 2ⁿ x²ⁿ⁺¹ / (2n+1)!!, a series without cancellation. */
function erf(x: number): number {
  if (Math.abs(x) > 6) return Math.sign(x);
  let [term, total] = [x, 0];
  for (let n = 0; Math.abs(term) > 1e-18; n++) {
    total += term;
    term *= (2 * x * x) / (2 * n + 3);
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * total;
}

/** To the nearest integer, halves to the even one. */
export function roundToEven(x: number): number {
  const rounded = Math.round(x);
  return Math.abs(x % 1) === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}

/** x times a gate between 0 and 1. */
const gated = (gate: (x: number) => number) => unary((x) => x * gate(x));

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
const softplus = (x: number) => Math.log1p(Math.exp(x));
const hardSigmoid = (x: number, alpha: number, beta: number) => Math.min(Math.max(alpha * x + beta, 0), 1);

const div: Kernel = (call) => {
  const isInteger = call.input(0).dtype.startsWith('int');
  return binary((a, b) => (isInteger ? Math.trunc(a / b) : a / b))(call);
};

const mod: Kernel = (call) => {
  const likeC = call.attributes.int('fmod', 0) === 1;
  return binary((a, b) => (likeC ? a % b : a - b * Math.floor(a / b)))(call);
};

const clip: Kernel = ({ input, inputs }) => {
  const [low, high] = [inputs[1]?.data[0] ?? -Infinity, inputs[2]?.data[0] ?? Infinity];
  const { dtype, dims, data } = input(0);
  return { dtype, dims, data: data.map((x) => Math.min(Math.max(x, low), high)) };
};

const where: Kernel = (call) => {
  const chosen = broadcasting(([condition, a, b]) => (condition === 0 ? b : a), call.input(1).dtype);
  return chosen(call);
};

const gelu: Kernel = (call) => {
  const byTanh = (x: number) => (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))) / 2;
  const byErf = (x: number) => (1 + erf(x * Math.SQRT1_2)) / 2;
  return gated(call.attributes.string('approximate', 'none') === 'tanh' ? byTanh : byErf)(call);
};

const shrink: Kernel = unary((x, attribute) => {
  if (Math.abs(x) <= attribute('lambd', 0.5)) return 0;
  return x - Math.sign(x) * attribute('bias', 0);
});

const isInf: Kernel = ({ input, attributes }) => {
  const found = [
    ...(attributes.int('detect_positive', 1) === 1 ? [Infinity] : []),
    ...(attributes.int('detect_negative', 1) === 1 ? [-Infinity] : []),
  ];
  const { dims, data } = input(0);
  return { dtype: 'bool', dims, data: data.map((x) => Number(found.includes(x))) };
};

const isNaN: Kernel = ({ input }) => {
  const { dims, data } = input(0);
  return { dtype: 'bool', dims, data: data.map((x) => Number(Number.isNaN(x))) };
};

const bitShift: Kernel = (call) => {
  const left = call.attributes.string('direction') === 'LEFT';
  return binary((a, b) => (left ? a * 2 ** b : Math.floor(a / 2 ** b)))(call);
};

/** f on each pair of integers, exactly. */
function bitwise(f: (a: bigint, b: bigint) => bigint): Kernel {
  return binary((a, b) => Number(f(BigInt(a), BigInt(b))));
}

/** (x − zero point) · scale, with both one number or a vector along an axis. */
const dequantizeLinear: Kernel = ({ input, inputs, attributes }) => {
  const [x, scale, zeroPoint] = [input(0), input(1), inputs[2]];
  const axis = positiveAxis(attributes.int('axis', 1), x.dims.length);
  return tabulate(scale.dtype, x.dims, (index) => {
    const place = scale.data.length === 1 ? 0 : index[axis];
    return (elementAt(x, index) - (zeroPoint?.data[place] ?? 0)) * scale.data[place];
  });
};

export const elementwise: Kernels = {
  Abs: unary(Math.abs),
  Acos: unary(Math.acos),
  Acosh: unary(Math.acosh),
  Asin: unary(Math.asin),
  Asinh: unary(Math.asinh),
  Atan: unary(Math.atan),
  Atanh: unary(Math.atanh),
  BitwiseNot: unary((x) => -x - 1),
  Ceil: unary(Math.ceil),
  Celu: unary(
    (x, attribute) => Math.max(x, 0) + Math.min(0, attribute('alpha', 1) * Math.expm1(x / attribute('alpha', 1))),
  ),
  Cos: unary(Math.cos),
  Cosh: unary(Math.cosh),
  Elu: unary((x, attribute) => (x > 0 ? x : attribute('alpha', 1) * Math.expm1(x))),
  Erf: unary(erf),
  Exp: unary(Math.exp),
  Floor: unary(Math.floor),
  Gelu: gelu,
  HardSigmoid: unary((x, attribute) => hardSigmoid(x, attribute('alpha', 0.2), attribute('beta', 0.5))),
  HardSwish: unary((x) => x * hardSigmoid(x, 1 / 6, 0.5)),
  Identity: unary((x) => x),
  IsInf: isInf,
  IsNaN: isNaN,
  LeakyRelu: unary((x, attribute) => (x < 0 ? attribute('alpha', 0.01) * x : x)),
  Log: unary(Math.log),
  Mish: gated((x) => Math.tanh(softplus(x))),
  Neg: unary((x) => -x),
  Not: unary((x) => 1 - x),
  Reciprocal: unary((x) => 1 / x),
  Relu: unary((x) => Math.max(x, 0)),
  Round: unary(roundToEven),
  Selu: unary(
    (x, attribute) =>
      attribute('gamma', 1.05070102214813232421875) *
      (x > 0 ? x : attribute('alpha', 1.67326319217681884765625) * Math.expm1(x)),
  ),
  Shrink: shrink,
  Sigmoid: unary(sigmoid),
  Sign: unary(Math.sign),
  Sin: unary(Math.sin),
  Sinh: unary(Math.sinh),
  Softplus: unary(softplus),
  Softsign: unary((x) => x / (1 + Math.abs(x))),
  Sqrt: unary(Math.sqrt),
  Swish: unary((x, attribute) => x * sigmoid(attribute('alpha', 1) * x)),
  Tan: unary(Math.tan),
  Tanh: unary(Math.tanh),
  ThresholdedRelu: unary((x, attribute) => (x > attribute('alpha', 1) ? x : 0)),

  Add: binary((a, b) => a + b),
  BitShift: bitShift,
  BitwiseAnd: bitwise((a, b) => a & b),
  BitwiseOr: bitwise((a, b) => a | b),
  BitwiseXor: bitwise((a, b) => a ^ b),
  Div: div,
  Mod: mod,
  Mul: binary((a, b) => a * b),
  PRelu: binary((x, slope) => (x < 0 ? slope * x : x)),
  Pow: binary((a, b) => a ** b),
  Sub: binary((a, b) => a - b),

  And: predicate((a, b) => a !== 0 && b !== 0),
  Equal: predicate((a, b) => a === b),
  Greater: predicate((a, b) => a > b),
  GreaterOrEqual: predicate((a, b) => a >= b),
  Less: predicate((a, b) => a < b),
  LessOrEqual: predicate((a, b) => a <= b),
  Or: predicate((a, b) => a !== 0 || b !== 0),
  Xor: predicate((a, b) => a !== b),

  Max: broadcasting((elements) => Math.max(...elements)),
  Mean: broadcasting((elements) => sum(elements) / elements.length),
  Min: broadcasting((elements) => Math.min(...elements)),
  Sum: broadcasting(sum),

  Clip: clip,
  DequantizeLinear: dequantizeLinear,
  Where: where,
};
