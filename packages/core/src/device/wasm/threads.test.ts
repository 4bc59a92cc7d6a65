import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { expectFindsNonFinite } from '../testing/finds-non-finite.js';
import { threadsInTurn } from '../testing/threads-in-turn.js';
import { wasmDevice } from './device.js';
import { shares } from './threads.js';

const threads = (count: number) => ({ available: () => count, leastShare: 64 });

describe('shares of arrays for threads', () => {
  it('have every element once, in order, and are cut at cache lines', () => {
    const lengths = fc.array(fc.constantFrom(0, 1, 15, 16, 17, 63, 64, 65, 200, 1000, 4099), { maxLength: 8 });
    fc.assert(
      fc.property(lengths, fc.integer({ min: 1, max: 8 }), (list, count) => {
        const parts = shares(list, threads(count)).flat();
        const joined = list.map((_, array) => parts.filter(({ index }) => index === array));
        joined.forEach((own, array) => {
          expect(own.map(({ from }) => from)).toEqual([0, ...own.slice(0, -1).map(({ to }) => to)]);
          expect(own.at(-1)?.to).toBe(list[array]);
          for (const { from } of own) expect(from % 16).toBe(0);
        });
        expect(parts.map(({ index }) => index)).toEqual(parts.map(({ index }) => index).sort((a, b) => a - b));
      }),
    );
  });

  it('are about equal, and as many as there are threads', () => {
    const sizes = (list: readonly number[], count: number): number[] =>
      shares(list, threads(count)).map((parts) => parts.reduce((sum, { from, to }) => sum + to - from, 0));
    expect(sizes([1000], 4)).toEqual([256, 256, 256, 232]);
    expect(sizes([10, 700, 20, 270], 2)).toEqual([506, 494]);
    expect(sizes(new Array<number>(10).fill(100), 3)).toEqual([348, 348, 304]);
  });

  it('are fewer where each would be less than what a thread is worth waking for, and one without threads', () => {
    expect(shares([127], threads(4))).toHaveLength(1);
    expect(shares([128], threads(4))).toHaveLength(2);
    expect(shares([1000, 1000], undefined)).toEqual([
      [
        { index: 0, from: 0, to: 1000 },
        { index: 1, from: 0, to: 1000 },
      ],
    ]);
  });
});

describe('the WebAssembly device with threads', () => {
  it('has the memory that it gives back counted as garbage, as shared memory is not', () => {
    const device = wasmDevice({ threads: threadsInTurn(2) });
    const elements = 2 ** 22;
    const [buffers] = device.allocate([[elements, elements]]);
    device.free([buffers[0]]);
    const before = process.memoryUsage().arrayBuffers;
    device.free([buffers[1]]);
    expect(process.memoryUsage().arrayBuffers - before).toBeGreaterThanOrEqual(4 * 2 * elements);
  });

  it('finds what is not finite in every share', () => {
    const shared = threadsInTurn(3);
    expectFindsNonFinite(wasmDevice({ threads: shared }), [100, 7, 300]);
    expect(shared.runs).toBe(408);
  });

  it('has memory that threads share, and ordinary memory without them', () => {
    const bufferOf = (device = wasmDevice()) => device.allocate([[4]])[0][0].view().buffer;
    expect(bufferOf()).toBeInstanceOf(ArrayBuffer);
    expect(bufferOf(wasmDevice({ threads: threadsInTurn(2) }))).toBeInstanceOf(SharedArrayBuffer);
  });
});
