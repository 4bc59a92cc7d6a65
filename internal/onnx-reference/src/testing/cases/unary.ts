import { float, type FloatAttribute } from '@adakit/onnx';

/** An operator y = f(x), element by element, with f in double precision to compare with. */
export interface UnaryCase {
  readonly op: string;
  readonly f: (x: number) => number;
  readonly attributes?: Readonly<Record<string, FloatAttribute>>;
  /** Where the input numbers, drawn from [-1, 1), are taken to. */
  readonly domain?: (x: number) => number;
}

const wide = (x: number) => 3 * x;
const inside = (x: number) => 0.9 * x;

/** Operators that ONNX Runtime executes in float32 only, so that differences of its results would tell little. */
export const unaryCases: readonly UnaryCase[] = [
  { op: 'Tan', f: Math.tan },
  { op: 'Asin', f: Math.asin, domain: inside },
  { op: 'Acos', f: Math.acos, domain: inside },
  { op: 'Atan', f: Math.atan, domain: wide },
  { op: 'Sinh', f: Math.sinh, domain: wide },
  { op: 'Cosh', f: Math.cosh, domain: wide },
  { op: 'Asinh', f: Math.asinh, domain: wide },
  { op: 'Acosh', f: Math.acosh, domain: (x) => 2.5 + x },
  { op: 'Atanh', f: Math.atanh, domain: inside },
  { op: 'Softsign', f: (x) => x / (1 + Math.abs(x)), domain: wide },
  { op: 'Selu', f: selu(1.67326319217681884765625, 1.05070102214813232421875), domain: wide },
  { op: 'Selu', f: selu(0.5, 2), attributes: { alpha: float(0.5), gamma: float(2) }, domain: wide },
  { op: 'Celu', f: celu(1), domain: wide },
  { op: 'Celu', f: celu(0.5), attributes: { alpha: float(0.5) }, domain: wide },
  { op: 'ThresholdedRelu', f: (x) => (x > 1 ? x : 0), domain: wide },
  { op: 'ThresholdedRelu', f: (x) => (x > 0.25 ? x : 0), attributes: { alpha: float(0.25) }, domain: wide },
  { op: 'Shrink', f: shrink(0.5, 0), domain: wide },
  { op: 'Shrink', f: shrink(1.5, 0.25), attributes: { lambd: float(1.5), bias: float(0.25) }, domain: wide },
];

function selu(alpha: number, gamma: number) {
  return (x: number) => gamma * (x > 0 ? x : alpha * Math.expm1(x));
}

function celu(alpha: number) {
  return (x: number) => (x > 0 ? x : alpha * Math.expm1(x / alpha));
}

function shrink(lambda: number, bias: number) {
  return (x: number) => (x < -lambda ? x + bias : x > lambda ? x - bias : 0);
}
