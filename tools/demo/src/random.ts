/** A source of uniformly distributed numbers in [0, 1). */
export type Random = () => number;

/**
 * Marsaglia's xorshift32 ("Xorshift RNGs", Journal of Statistical Software 8(14), 2003; shifts 13, 17, 5): the same
 * numbers for the same seed on every machine. Good enough to shuffle with, not for secrets.
 *
 * @param seed a whole number; 0, on which the generator would stand still, is replaced
 */
export function xorshift32(seed: number): Random {
  let state = seed >>> 0 || 0x9e3779b9;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

/** The whole numbers below `count` in random order (Fisher–Yates). */
export function permutation(count: number, random: Random): Uint32Array {
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}
