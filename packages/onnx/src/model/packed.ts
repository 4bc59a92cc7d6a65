/** The numbers of `bits` bits each that bytes hold, the first in the lowest bits. */
export function unpackBits(bytes: Uint8Array, bits: number): Uint8Array {
  const [perByte, mask] = [8 / bits, 2 ** bits - 1];
  const numbers = new Uint8Array(bytes.length * perByte);
  for (let i = 0; i < numbers.length; i++)
    numbers[i] = (bytes[Math.floor(i / perByte)] >> (bits * (i % perByte))) & mask;
  return numbers;
}

/** FP4: a sign, and one of 0, 1/192, 2/3, 1, 1/3, 1/2, 1/6, 1/4. */
const FP4 = [0, 1 / 192, 2 / 3, 1, 1 / 3, 1 / 2, 1 / 6, 1 / 4];

/**
 * What the 16 codes of MatMulBnb4 stand for, by its `quant_type`: FP4, and NF4, the quantiles of a normal distribution
 * (T. Dettmers et al. 2023, arXiv:2305.14314, appendix E).
 */
export const BNB4_NUMBERS: Readonly<Record<number, readonly number[]>> = {
  0: [...FP4, ...FP4.map((number) => -number)],
  1: [
    -1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
    -0.09105003625154495, 0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1,
  ],
};
