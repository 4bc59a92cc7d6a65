import { create } from '@bufbuild/protobuf';
import { TensorProto_DataLocation, TensorProtoSchema } from 'onnx-buf';
import { describe, expect, test } from 'vitest';
import { dtypeCode, type DType } from './dtype.js';
import { Tensor } from './tensor.js';

function proto(dtype: DType, dims: readonly number[], fields: object) {
  return create(TensorProtoSchema, { name: 't', dataType: dtypeCode(dtype), dims: dims.map(BigInt), ...fields });
}

describe('tensors', () => {
  test.each([
    ['float32', { floatData: [1.5, -2] }, [1.5, -2]],
    ['float64', { doubleData: [0.1, 2] }, [0.1, 2]],
    ['int64', { int64Data: [-3n, 4n] }, [-3, 4]],
    ['uint64', { uint64Data: [3n, 4n] }, [3, 4]],
    ['uint32', { uint64Data: [3n, 4n] }, [3, 4]],
    ['int32', { int32Data: [-1, 7] }, [-1, 7]],
    ['int8', { int32Data: [-1, 7] }, [-1, 7]],
    ['uint8', { int32Data: [255, 7] }, [255, 7]],
    ['bool', { int32Data: [0, 1] }, [0, 1]],
    ['float16', { int32Data: [0x3c00, 0xc000] }, [1, -2]],
    ['bfloat16', { int32Data: [0x3f80, 0xc000] }, [1, -2]],
  ] as const)('%s elements are read from their typed field and from raw bytes', (dtype, fields, expected) => {
    const typed = Tensor.fromProto(proto(dtype, [2], fields));
    expect(typed.toNumbers()).toEqual(expected);
    const raw = Tensor.of(dtype, [2], typed.data).toProto('t');
    // One byte further on, where no typed array can start.
    const shifted = new Uint8Array(raw.rawData.length + 1);
    shifted.set(raw.rawData, 1);
    expect(Tensor.fromProto(proto(dtype, [2], { rawData: shifted.subarray(1) })).toNumbers()).toEqual(expected);
  });

  test('a tensor read from a file is written as it was, under any name', () => {
    const original = proto('float32', [2], { floatData: [1, 2], docString: 'kept' });
    const tensor = Tensor.fromProto(original);
    expect(tensor.toProto('t')).toBe(original);
    expect(tensor.toProto('other')).toEqual({ ...original, name: 'other' });
  });

  test.each([
    ['float16', [0x3c00, 0xc000, 0x0001, 0x7c00], [1, -2, 2 ** -24, Infinity]],
    ['bfloat16', [0x3f80, 0xc000, 0x4049, 0x7f80], [1, -2, 3.140625, Infinity]],
  ] as const)('%s elements are numbers when they are asked for as such', (dtype, bits, numbers) => {
    expect(Tensor.of(dtype, [4], Uint16Array.from(bits)).toNumbers()).toEqual(numbers);
  });

  test('empty tensors have no elements', () => {
    expect(Tensor.fromProto(proto('float32', [0, 3], {})).data).toHaveLength(0);
  });

  test.each([
    ['too few bytes', { rawData: new Uint8Array(4) }, 'holds 4 bytes instead of 8'],
    ['too many elements', { floatData: [1, 2, 3] }, 'holds 3 elements instead of 2'],
    ['no elements', {}, 'holds 0 elements instead of 2'],
  ])('%s is an error that names the tensor, before anything is decoded', (_, fields, message) => {
    expect(() => Tensor.fromProto(proto('float32', [2], fields))).toThrow(`tensor 't' (float32, shape [2]) ${message}`);
  });

  test('elements in another file are refused with the name of that file', () => {
    const tensor = Tensor.fromProto(
      proto('float32', [2], {
        dataLocation: TensorProto_DataLocation.EXTERNAL,
        externalData: [{ key: 'location', value: 'weights.bin' }],
      }),
    );
    expect(() => tensor.data).toThrow("tensor 't' keeps its elements in 'weights.bin'");
  });

  test('a tensor whose data does not fill its shape cannot be made', () => {
    expect(() => Tensor.of('float32', [2, 2], new Float32Array(3))).toThrow('shape [2, 2] needs 4 elements, got 3');
  });
});

test.each([
  ['int4', [0x1f, 0x8a, 0x07], [-1, 1, -6, -8, 7], 'int8'],
  ['uint4', [0x1f, 0x8a, 0x07], [15, 1, 10, 8, 7], 'uint8'],
  ['int2', [0b11100100, 0b10], [0, 1, -2, -1, -2], 'int8'],
  ['uint2', [0b11100100, 0b10], [0, 1, 2, 3, 2], 'uint8'],
] as const)('%s numbers are unpacked to bytes, the lowest bits first', (dtype, bytes, numbers, to) => {
  const unpacked = Tensor.of(dtype, [5], Uint8Array.from(bytes)).unpacked();
  expect(unpacked.dtype).toBe(to);
  expect(unpacked.toNumbers()).toEqual(numbers);
});

test('what is not packed stays the tensor that it is', () => {
  const tensor = Tensor.int64([1, 2]);
  expect(tensor.unpacked()).toBe(tensor);
});
