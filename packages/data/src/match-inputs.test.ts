import { describe, expect, it, test } from 'vitest';
import { matchInputs } from './match-inputs.js';

const match = matchInputs([
  { name: 'image', dtype: 'float32', shape: ['batch', 1, 2, 2] },
  { name: 'labels', dtype: 'int64', shape: ['batch'] },
]);

describe('a batch for a model', () => {
  it('that fits is passed on as it is', () => {
    const batch = {
      image: { data: new Float32Array(4), dims: [1, 1, 2, 2] },
      labels: { data: BigInt64Array.of(1n), dims: [1] },
    };
    expect(match(batch)).toBe(batch);
  });

  it('gets the element types and dimensions of one that the model takes', () => {
    expect(
      match({
        image: { data: Uint8Array.of(1, 2, 3, 4), dims: [1, 2, 2] },
        labels: { data: Float32Array.of(3), dims: [1, 1] },
      }),
    ).toEqual({
      image: { data: Float32Array.of(1, 2, 3, 4), dims: [1, 1, 2, 2] },
      labels: { data: BigInt64Array.of(3n), dims: [1] },
    });
  });

  it('keeps what cannot fit, for the model to refuse by name', () => {
    expect(match({ image: { data: new Float32Array(6), dims: [1, 6] } }).image.dims).toEqual([1, 6]);
  });

  test.each([
    [
      { labels: { data: Float32Array.of(0.5), dims: [1] } },
      "'labels' must be int64, which cannot hold 0.5 at position 0",
    ],
    [{ labels: { data: Float32Array.of(NaN), dims: [1] } }, 'cannot hold NaN'],
    [
      { image: { data: BigInt64Array.of(2n ** 24n + 1n), dims: [1, 1, 1, 1] } },
      "'image' must be float32, which cannot hold 16777217",
    ],
  ])('%# loses nothing silently', (batch, message) => {
    expect(() => match(batch)).toThrow(message);
  });
});

it.each(['__proto__', 'constructor', 'a b', ''])(
  'an input may be called "%s", and gets the type that it has',
  (name) => {
    const batch = Object.fromEntries([[name, { data: Float64Array.of(1, 2), dims: [2] }]]);
    const matched = matchInputs([{ name, dtype: 'float32', shape: [2] }])(batch);
    expect(Object.entries(matched)).toEqual([[name, { data: Float32Array.of(1, 2), dims: [2] }]]);
  },
);
