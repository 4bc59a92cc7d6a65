/** The number that the 16 bits of an IEEE 754 binary16 stand for: a sign, 5 bits of exponent (bias 15), 10 of fraction. */
export function halfToFloat(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0x1f) return fraction === 0 ? sign * Infinity : NaN;
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15));
}

/** The number that the 16 bits of a bfloat16 stand for, which are the upper half of a float32. */
export function bfloat16ToFloat(bits: number): number {
  return new Float32Array(Uint32Array.of(bits << 16).buffer)[0];
}
