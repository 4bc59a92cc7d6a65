import { fromArrays } from '@adakit/data';

/** Batches for the page, its worker and the test to compare. */
export const numbers = fromArrays({
  x: { data: Float32Array.from({ length: 20 }, (_, i) => i / 2), dims: [10, 2] },
  labels: BigInt64Array.from({ length: 10 }, (_, i) => BigInt(i)),
})
  .shuffle(3)
  .batch(4);
