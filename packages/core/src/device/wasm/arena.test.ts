import { describe, expect, it } from 'vitest';
import { expectFindsNonFinite } from '../testing/finds-non-finite.js';
import { wasmDevice } from './device.js';

const MIB = 2 ** 20;

describe('memory of the WebAssembly device', () => {
  it('holds buffers that start at multiples of 16 bytes, are zero and do not overlap', () => {
    const device = wasmDevice();
    const buffers = device.allocate([[1, 5, 0], [3]]).flat();
    buffers.forEach((buffer, i) => {
      expect(buffer.address % 16).toBe(0);
      expect([...buffer.view()]).toEqual(new Array(buffer.length).fill(0));
      device.write(buffer, i + 1);
    });
    expect(buffers.map((buffer) => [...buffer.view()])).toEqual([[1], [2, 2, 2, 2, 2], [], [4, 4, 4]]);
  });

  it('puts the first buffers of all lists side by side, so that many parameters are read like one', () => {
    const lists = wasmDevice().allocate([[4, 8], [4], [], [4, 8, 1]]);
    const [[a, x], [b], , [c, y, z]] = lists.map((list) => list.map(({ address }) => address));
    expect([b - a, c - b, x - c, y - x, z - y]).toEqual([16, 16, 16, 32, 32]);
  });

  it('finds what is not finite at every position of buffers of all lengths', () => {
    expectFindsNonFinite(
      wasmDevice(),
      Array.from({ length: 40 }, (_, length) => length),
    );
  });

  it('keeps its content when it grows; a view is the same object until then', () => {
    const device = wasmDevice();
    const [[buffer]] = device.allocate([[3]]);
    device.write(buffer, Float32Array.of(1, 2, 3));
    const before = buffer.view();
    expect(buffer.view()).toBe(before);
    device.allocate([[4 * MIB]]);
    expect(before.length).toBe(0);
    expect([...buffer.view()]).toEqual([1, 2, 3]);
  });

  it('is given out again after it has been freed, as zeros', () => {
    const device = wasmDevice();
    const [[a, b, c]] = device.allocate([[100, 100, 100]]);
    for (const buffer of [a, b, c]) device.write(buffer, 7);
    device.free([a, c]);
    device.free([b]);
    const [[again]] = device.allocate([[300]]);
    expect(again.address).toBe(a.address);
    expect(again.view().every((x) => x === 0)).toBe(true);
  });

  it('is given back when no buffer stands in it any more', () => {
    const device = wasmDevice();
    const [[a, b]] = device.allocate([[4, 4]]);
    device.free([a]);
    expect(device.allocate([[4]])[0][0].memory).toBe(a.memory);
    const [[c]] = device.allocate([[4]]);
    device.free([b, c]);
    expect(device.allocate([[4]])[0][0].memory).toBe(a.memory);
    const other = wasmDevice();
    const [[x]] = other.allocate([[4]]);
    other.free([x]);
    expect(other.allocate([[4]])[0][0].memory).not.toBe(x.memory);
  });

  it('does not give a range out twice', () => {
    const device = wasmDevice();
    const [[a]] = device.allocate([[8]]);
    device.free([a]);
    const buffers = device.allocate([[4], [4], [4]]).flat();
    buffers.forEach((buffer, i) => {
      device.write(buffer, i);
    });
    expect(buffers.map((buffer) => buffer.view()[3])).toEqual([0, 1, 2]);
  });

  it('goes on in another memory where one is full; what is used together stays together', () => {
    const device = wasmDevice({ memoryLimit: 2 * MIB });
    const lists = device.allocate(Array.from({ length: 5 }, () => [MIB / 16, MIB / 16, MIB / 16]));
    expect(new Set(lists.flat().map(({ memory }) => memory)).size).toBe(3);
    for (const list of lists) expect(new Set(list.map(({ memory }) => memory)).size).toBe(1);
  });

  it('refuses a list that no memory can hold, and allocates nothing then', () => {
    const device = wasmDevice({ memoryLimit: 2 * MIB });
    expect(() => device.allocate([[1000], [MIB]])).toThrow(
      'a parameter with its gradient and slots needs 4194304 bytes together; a WebAssembly memory holds 2097152',
    );
    const [[first]] = wasmDevice().allocate([[1]]);
    expect(device.allocate([[1000]])[0][0].address).toBe(first.address);
  });

  it('finds what is not finite, and looks at nothing beyond the elements', () => {
    const device = wasmDevice();
    const values = [[1, 2, 3], [NaN], [0, 0, 0, 0, -Infinity], [], [3.4e38, -1e-45], [1, 2, 3, Infinity, 5, 6, 7, 8]];
    const buffers = values.map(({ length }) => device.allocate([[4]])[0].concat(device.allocate([[length]])[0])[1]);
    buffers.forEach((buffer, i) => {
      new Float32Array(buffer.memory.buffer, buffer.address, Math.max(4, buffer.length)).fill(NaN);
      device.write(buffer, Float32Array.from(values[i]));
    });
    expect(device.nonFinite(buffers)).toEqual([1, 2, 5]);
  });

  it('refuses buffers of another device', () => {
    const [[buffer]] = wasmDevice().allocate([[1]]);
    expect(() => {
      wasmDevice().free([buffer]);
    }).toThrow('belongs to another device');
  });
});
