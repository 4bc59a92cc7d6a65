import type { WasmMemory, WasmModule } from './webassembly.js';

/** A module and the shared memory that it works on. */
export interface ThreadCode {
  readonly module: WasmModule;
  readonly memory: WasmMemory;
  /** The function that it exports, of two numbers. It calls nothing but JavaScript's `Math`. */
  readonly name: string;
}

/** The two numbers with which a thread calls the function: where its part of a table begins, and how many entries it has. */
export type KernelCall = readonly [from: number, count: number];

/**
 * Threads that take a part of a kernel's work, each with an instance of its module over the same memory, while the thread
 * that asks for it takes another: {@link wasmDevice} then keeps its buffers in shared memory.
 */
export interface KernelThreads {
  /** How many there will ever be, the caller's among them. */
  readonly most: number;
  /** Elements of arrays that are worth waking a thread for. */
  readonly leastShare: number;
  /** How many there are now, the caller's among them: starting them takes a while, and may not be possible. */
  available(): number;
  /**
   * Makes all calls at the same time, and returns when all have ended.
   *
   * @param calls for the first of the other threads, and so on: as many as there are, or fewer
   * @param own makes the caller's own call
   * @throws what any of the calls has thrown
   */
  run(code: ThreadCode, calls: readonly KernelCall[], own: () => void): void;
}

/** A part of an array: elements `from` to `to` of the one at `index`. */
export interface Part {
  readonly index: number;
  readonly from: number;
  readonly to: number;
}

/** Elements of a processor's cache line, which two threads should not write to. */
const LINE = 16;

/**
 * Divides arrays of these lengths among as many threads as it pays for: to each the parts that follow those of the one
 * before, about as many elements as to every other. Without threads there is one share.
 */
export function shares(
  lengths: readonly number[],
  threads: Pick<KernelThreads, 'available' | 'leastShare'> | undefined,
): Part[][] {
  const total = lengths.reduce((sum, length) => sum + length, 0);
  const worth = threads && total >= 2 * threads.leastShare;
  const count = worth ? Math.min(threads.available(), Math.floor(total / threads.leastShare)) : 1;
  const each = Math.ceil(total / count);
  const result: Part[][] = Array.from({ length: count }, () => []);
  let [thread, room] = [0, each];
  lengths.forEach((length, index) => {
    let from = 0;
    while (length - from > room + LINE && thread < count - 1) {
      const to = from + Math.max(0, Math.ceil(room / LINE) * LINE);
      if (to > from) result[thread].push({ index, from, to });
      [from, thread, room] = [to, thread + 1, each];
    }
    result[thread].push({ index, from, to: length });
    room -= length - from;
  });
  return result.filter((parts) => parts.length > 0);
}

/** Makes the calls, each in a thread of its own where there are several. */
export function makeCalls(
  [first, ...others]: readonly KernelCall[],
  call: (...numbers: KernelCall) => void,
  code: ThreadCode,
  threads: KernelThreads | undefined,
): void {
  const own = (): void => {
    call(...first);
  };
  if (threads === undefined || others.length === 0) own();
  else threads.run(code, others, own);
}

/** The calls by which threads take their shares of a table at `base`, with an entry of so many bytes for every part. */
export function callsOf(shares: readonly (readonly Part[])[], base: number, bytes: number): KernelCall[] {
  let from = base;
  return shares.map((parts) => {
    const call = [from, parts.length] as const;
    from += bytes * parts.length;
    return call;
  });
}
