import { describe, expect, it } from 'vitest';
import { castTensor, copyTensor, elementCount, filled, sameShape, tensor32, tensor64 } from './tensor-data.js';

describe('tensor32 and tensor64', () => {
  it('have one dimension unless a shape is given', () => {
    expect(tensor32([1, 2])).toEqual({ dtype: 'float32', shape: [2], data: Float32Array.of(1, 2) });
    expect(tensor64([1, 2], [2, 1])).toEqual({ dtype: 'float64', shape: [2, 1], data: Float64Array.of(1, 2) });
    expect(tensor32([7], []).shape).toEqual([]);
  });

  it('stand over a typed array without copying it', () => {
    const data = Float32Array.of(1, 2);
    expect(tensor32(data).data).toBe(data);
  });

  it('refuse a shape that does not fit', () => {
    expect(() => tensor32([1, 2, 3], [2, 2])).toThrow('a tensor of shape [2, 2] needs 4 elements, got 3');
  });
});

it('elementCount multiplies, so that no dimension is one element and a zero is none', () => {
  expect([elementCount([]), elementCount([2, 3]), elementCount([4, 0])]).toEqual([1, 6, 0]);
});

it('filled repeats one value', () => {
  expect(filled('float32', [2, 2], 0.1).data).toEqual(new Float32Array(4).fill(0.1));
  expect(filled('float64', [], 0.1).data).toEqual(Float64Array.of(0.1));
});

it('castTensor rounds to nearest and never shares memory', () => {
  const tensor = tensor64([0.1, 1e-60, 1e60]);
  expect(castTensor(tensor, 'float32').data).toEqual(Float32Array.of(Math.fround(0.1), 0, Infinity));
  expect(castTensor(castTensor(tensor, 'float32'), 'float64').data[0]).toBe(Math.fround(0.1));
  for (const copy of [castTensor(tensor, 'float64'), copyTensor(tensor)]) {
    expect(copy).toEqual(tensor);
    expect(copy.data).not.toBe(tensor.data);
  }
});

it('sameShape compares rank and sizes', () => {
  expect(sameShape([2, 3], [2, 3])).toBe(true);
  expect(sameShape([2, 3], [3, 2])).toBe(false);
  expect(sameShape([2], [2, 1])).toBe(false);
  expect(sameShape([], [])).toBe(true);
});
