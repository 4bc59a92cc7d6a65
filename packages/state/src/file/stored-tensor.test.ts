import { describe, expect, test } from 'vitest';
import { tensor32, tensor64, type StoredDType } from '@adakit/core';
import { StateFileError } from './error.js';
import {
  firstNonFinite,
  isLoadable,
  loadTensor,
  storedByteLength,
  storedDTypes,
  storeTensor,
} from './stored-tensor.js';

const all16 = Uint16Array.from({ length: 2 ** 16 }, (_, i) => i);

/** The value of a binary floating-point number by its definition: (−1)^sign · 2^(exponent − bias) · 1.fraction. */
function definedValue(bits: number, exponentBits: number, fractionBits: number): number {
  const sign = bits >>> (exponentBits + fractionBits) === 1 ? -1 : 1;
  const exponent = (bits >>> fractionBits) & (2 ** exponentBits - 1);
  const fraction = (bits & (2 ** fractionBits - 1)) / 2 ** fractionBits;
  const bias = 2 ** (exponentBits - 1) - 1;
  if (exponent === 2 ** exponentBits - 1) return fraction === 0 ? sign * Infinity : NaN;
  return exponent === 0 ? sign * 2 ** (1 - bias) * fraction : sign * 2 ** (exponent - bias) * (1 + fraction);
}

describe('loading tensors', () => {
  test.each([
    ['F16', 5, 10],
    ['BF16', 8, 7],
  ] as const)('every value of %s becomes the same float32', (dtype, exponentBits, fractionBits) => {
    const loaded = loadTensor({ dtype, shape: [2 ** 16], bytes: new Uint8Array(all16.buffer) });
    expect(loaded.dtype).toBe('float32');
    const wrong = all16.filter((bits, i) => !Object.is(loaded.data[i], definedValue(bits, exponentBits, fractionBits)));
    expect([...wrong]).toEqual([]);
  });

  test('float32 and float64 keep every bit, payloads of NaN included', () => {
    const bits = Uint32Array.of(0x7fc0_0001, 0xffc1_2345, 0x8000_0000, 0x0000_0001, 0x7f80_0000, 0x3f80_0000);
    const f32 = loadTensor({ dtype: 'F32', shape: [6], bytes: new Uint8Array(bits.buffer) });
    expect([...new Uint32Array(f32.data.buffer, f32.data.byteOffset, 6)]).toEqual([...bits]);
    const f64 = loadTensor({ dtype: 'F64', shape: [3], bytes: new Uint8Array(bits.buffer) });
    expect([...new Uint32Array(f64.data.buffer, f64.data.byteOffset, 6)]).toEqual([...bits]);
  });

  test('bytes at any offset of their buffer can be loaded', () => {
    const { bytes } = storeTensor(tensor64([1, 2, 3]));
    const shifted = new Uint8Array(bytes.length + 3);
    shifted.set(bytes, 3);
    expect([...loadTensor({ dtype: 'F64', shape: [3], bytes: shifted.subarray(3) }).data]).toEqual([1, 2, 3]);
  });

  test('storing shares memory, whatever part of a buffer the tensor is', () => {
    const data = Float32Array.of(0, 1, 2, 3).subarray(1, 3);
    const { bytes } = storeTensor(tensor32(data));
    expect(bytes.buffer).toBe(data.buffer);
    expect([...loadTensor({ dtype: 'F32', shape: [2], bytes }).data]).toEqual([1, 2]);
  });

  test('integers and booleans are no numbers to train', () => {
    const refused = storedDTypes.filter((dtype) => !isLoadable(dtype));
    expect(storedDTypes.filter(isLoadable)).toEqual(['F64', 'F32', 'F16', 'BF16']);
    for (const dtype of refused) {
      expect(() => loadTensor({ dtype, shape: [0], bytes: new Uint8Array() })).toThrow(StateFileError);
    }
  });
});

describe('finding infinities and NaN', () => {
  const bytesOf = (words: Uint16Array | Float32Array | Float64Array): Uint8Array => new Uint8Array(words.buffer);

  test.each([
    ['F16', 5, 10],
    ['BF16', 8, 7],
  ] as const)('every value of %s is judged rightly', (dtype, exponentBits, fractionBits) => {
    const wrong = all16.filter((bits) => {
      const found = firstNonFinite(dtype, bytesOf(Uint16Array.of(bits))) !== undefined;
      return found === Number.isFinite(definedValue(bits, exponentBits, fractionBits));
    });
    expect([...wrong]).toEqual([]);
  });

  test.each([NaN, Infinity, -Infinity])('%d is found at its place', (value) => {
    expect(firstNonFinite('F32', bytesOf(Float32Array.of(1, 2, value, 3, value)))).toBe(2);
    expect(firstNonFinite('F64', bytesOf(Float64Array.of(1, 2, value, 3, value)))).toBe(2);
  });

  test('the largest and smallest numbers are finite', () => {
    expect(firstNonFinite('F32', bytesOf(Float32Array.of(3.4028234663852886e38, -1e-45, -0)))).toBeUndefined();
    expect(firstNonFinite('F64', bytesOf(Float64Array.of(Number.MAX_VALUE, -5e-324, -0)))).toBeUndefined();
  });

  test('integers are always finite', () => {
    expect(firstNonFinite('I32', new Uint8Array(8).fill(255))).toBeUndefined();
  });
});

test.each<[StoredDType, number[], number | undefined]>([
  ['F32', [], 4],
  ['F64', [2, 3], 48],
  ['BOOL', [0, 5], 0],
  ['F4', [3], 1.5],
  ['U8', [2 ** 30, 2 ** 30], undefined],
  ['U8', [2 ** 52, 2 ** 52, 0], undefined],
])('%s of shape %j takes %d bytes', (dtype, shape, bytes) => {
  expect(storedByteLength(dtype, shape)).toBe(bytes);
});
