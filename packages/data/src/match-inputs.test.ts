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

test.each([
  ['float32', Int16Array.of(-3, 4), Float32Array.of(-3, 4)],
  ['float32', Float64Array.of(0.1), Float32Array.of(0.1)],
  ['float64', Uint32Array.of(2 ** 32 - 1), Float64Array.of(2 ** 32 - 1)],
  ['int64', Int8Array.of(-1, 2), BigInt64Array.of(-1n, 2n)],
  ['int32', Uint16Array.of(65535), Int32Array.of(65535)],
  ['int32', BigInt64Array.of(-5n), Int32Array.of(-5)],
  ['uint8', Int32Array.of(255), Uint8Array.of(255)],
])('numbers become %s', (dtype, data, expected) => {
  const convert = matchInputs([{ name: 'x', dtype, shape: ['batch'] }]);
  expect(convert({ x: { data, dims: [data.length] } }).x.data).toEqual(expected);
});

test.each([
  ['uint8', Int32Array.of(256)],
  ['uint8', Int8Array.of(-1)],
  ['int32', Uint32Array.of(2 ** 31)],
  ['float32', Int32Array.of(2 ** 24 + 1)],
  ['float64', BigInt64Array.of(2n ** 53n + 1n)],
  ['uint64', Int8Array.of(-1)],
])('%s does not hold what it would change: %s', (dtype, data) => {
  const convert = matchInputs([{ name: 'x', dtype, shape: ['batch'] }]);
  expect(() => convert({ x: { data, dims: [1] } })).toThrow(`which cannot hold ${String(data[0])} at position 0`);
});
