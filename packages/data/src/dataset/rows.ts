import type { NumericArray } from '@adakit/core';
import { copyInto, emptyLike } from './example.js';

/** Elements from which on one call that copies them is faster than a loop, which a call costs about as much as. */
const LONG = 128;

/**
 * Rows of an array, one after the other: what batches of shuffled arrays are made of.
 *
 * @param size elements of a row
 * @returns a copy of the rows at these places, counted in rows
 */
export function rowsOf(data: NumericArray, size: number): (places: readonly number[]) => NumericArray {
  const [from, width] = [wordsOf(data), wordsIn(data)];
  return (places) => {
    const result = emptyLike(data, size * places.length);
    const to = wordsOf(result);
    for (let i = 0; i < places.length;) {
      let end = i + 1;
      while (end < places.length && places[end] === places[end - 1] + 1) end++;
      const [first, count] = [places[i] * size, (end - i) * size];
      if (count >= LONG) copyInto(result, data.subarray(first, first + count), i * size);
      else copyWords(from, first * width, to, i * size * width, count * width);
      i = end;
    }
    return result;
  };
}

type Words = Uint8Array | Uint16Array | Uint32Array;

/** Words of 32 bits in an element, or 1 for smaller elements. */
function wordsIn({ BYTES_PER_ELEMENT: bytes }: NumericArray): number {
  return Math.max(1, bytes / 4);
}

/** The same memory as one of three types: a loop that meets ten of them is slow, and bits are copied whatever they mean. */
function wordsOf(array: NumericArray): Words {
  // To ask a small array for its buffer makes the engine move it there.
  if (array instanceof Uint8Array || array instanceof Uint16Array || array instanceof Uint32Array) return array;
  const { buffer, byteOffset, byteLength, BYTES_PER_ELEMENT: bytes } = array;
  if (bytes === 1) return new Uint8Array(buffer, byteOffset, byteLength);
  if (bytes === 2) return new Uint16Array(buffer, byteOffset, byteLength / 2);
  return new Uint32Array(buffer, byteOffset, byteLength / 4);
}

function copyWords(from: Words, first: number, to: Words, start: number, count: number): void {
  for (let i = 0; i < count; i++) to[start + i] = from[first + i];
}
