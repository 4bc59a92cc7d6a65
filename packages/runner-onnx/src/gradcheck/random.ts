/** Numbers in [−1, 1) (mulberry32). */
export function generator(seed: number): () => number {
  let state = (seed * 0x9e3779b9 + 0x243f6a88) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let z = Math.imul(state ^ (state >>> 15), state | 1);
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 31 - 1;
  };
}

/** A number below `count`. */
export function randomIndex(random: () => number, count: number): number {
  return Math.min(count - 1, Math.floor(((random() + 1) / 2) * count));
}
