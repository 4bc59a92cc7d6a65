import { AdakitError } from '../../errors.js';
import { MOST_PAGES } from './code.js';
import { webAssembly, type WasmMemory } from './webassembly.js';

/** A range of float32 numbers in a WebAssembly memory, 16-byte aligned. */
export interface WasmBuffer {
  readonly memory: WasmMemory;
  /** Of its first byte in the memory. */
  readonly address: number;
  /** In elements. */
  readonly length: number;
  /**
   * The elements, without a copy. Memory that grows (when anything is allocated, and in a kernel's first run) detaches its
   * views if it is not shared, so ask again before every use; it is the same object as long as it is valid.
   */
  view(): Float32Array;
}

const PAGE = 65536;
/** The least that systems make memory of, in bytes. */
const SYSTEM_PAGE = 4096;
/** Growing detaches every view, so small needs are met together. */
const LEAST_GROWTH = 16;
/**
 * Kernels work on whole vectors of four elements, and read up to two vectors beyond the last row of a matrix: within the
 * memory, this many bytes follow every buffer.
 */
export const SLACK = 32;
/** Addresses have 32 bits; the last page stays unused, so that the end of a buffer is an address, too. */
const LIMIT = (MOST_PAGES - 1) * PAGE;

export const aligned = (bytes: number): number => Math.ceil(bytes / 16) * 16;
/** The bytes that a buffer takes; kernels may write to one vector of a buffer without elements. */
export const size = (length: number): number => aligned(Math.max(16, length * 4));

interface Range {
  readonly from: number;
  readonly to: number;
}

/** One WebAssembly memory with its free ranges. */
export class Block {
  readonly memory: WasmMemory;
  /** How many stand in it. */
  buffers = 0;
  readonly #limit: number;
  /** In order of addresses; neighbours are merged. */
  #free: readonly Range[] = [];
  /** Beyond this, memory has never been used. */
  #top = 16;
  #scratch: Range = { from: 0, to: 0 };

  constructor(limit: number, shared: boolean) {
    this.#limit = limit;
    const sharing = shared && { maximum: MOST_PAGES, shared };
    this.memory = new (webAssembly().Memory)({ initial: LEAST_GROWTH, ...sharing });
  }

  /**
   * The address of so many free bytes, all zero; `undefined` where there is no room.
   *
   * @param spare bytes that must be left
   */
  reserve(bytes: number, spare = this.#limit / 16): number | undefined {
    const last = this.#free.at(-1);
    const beyond = last?.to === this.#top ? last.from : this.#top;
    const from = this.#free.find((range) => range.to - range.from >= bytes)?.from ?? beyond;
    const to = from + bytes;
    if (to > this.#top && !this.#grow(to + SLACK, this.#limit - spare)) return undefined;
    this.#free = this.#free
      .map((range) => (range.from === from ? { from: Math.min(to, range.to), to: range.to } : range))
      .filter((range) => range.to > range.from);
    const memory = new Uint8Array(this.memory.buffer);
    memory.fill(0, from, Math.min(to, this.#top));
    // What has never been used is zero, but its pages are not there: one that is read first and then written is made twice.
    for (let at = Math.max(from, this.#top); at < to; at += SYSTEM_PAGE) memory[at] = 0;
    this.#top = Math.max(this.#top, to);
    return from;
  }

  release(from: number, bytes: number): void {
    const merged: Range[] = [];
    for (const range of [...this.#free, { from, to: from + bytes }].sort((a, b) => a.from - b.from)) {
      const last = merged.at(-1);
      if (last?.to === range.from) merged[merged.length - 1] = { from: last.from, to: range.to };
      else merged.push(range);
    }
    this.#free = merged;
  }

  /**
   * The address of a range that a kernel may use while it runs, of whatever content; `undefined` where there is no room.
   * What has been had once can be had again.
   */
  scratch(bytes: number): number | undefined {
    const { from, to } = this.#scratch;
    if (to - from >= bytes) return from;
    this.release(from, to - from);
    const address = this.reserve(aligned(bytes), 0);
    if (address === undefined) this.reserve(to - from, 0);
    else this.#scratch = { from: address, to: address + aligned(bytes) };
    return address;
  }

  #grow(bytes: number, limit: number): boolean {
    if (bytes > limit) return false;
    const pages = Math.ceil((bytes - this.memory.buffer.byteLength) / PAGE);
    if (pages <= 0) return true;
    const room = Math.floor((this.#limit - this.memory.buffer.byteLength) / PAGE);
    try {
      this.memory.grow(Math.min(Math.max(pages, LEAST_GROWTH), room));
      return true;
    } catch {
      // A RangeError: the system gives no more.
      return false;
    }
  }
}

/** Memories one after the other, each up to the limit, less what its kernels may need; buffers that are used together stand together. */
export class Arena {
  readonly #limit: number;
  readonly #shared: boolean;
  #blocks: readonly Block[] = [];
  readonly #owners = new Map<WasmMemory, Block>();

  /**
   * @param limit bytes of one memory; default: all that addresses reach
   * @param shared whether threads share its memories
   */
  constructor(limit = LIMIT, shared = false) {
    this.#limit = Math.min(limit, LIMIT);
    this.#shared = shared;
  }

  /** The block in whose memory a buffer stands. */
  blockOf({ memory }: WasmBuffer): Block {
    const block = this.#owners.get(memory);
    if (block === undefined) throw new Error('this buffer belongs to another device');
    return block;
  }

  /** @throws AdakitError `out-of-memory`; nothing is allocated then */
  allocate(lengths: readonly (readonly number[])[]): WasmBuffer[][] {
    const columns = this.#allocateColumns(lengths);
    if (columns !== undefined) return columns;
    const done: WasmBuffer[][] = [];
    try {
      for (const list of lengths) done.push(this.#allocateTogether(list));
      return done;
    } catch (error) {
      this.free(done.flat());
      throw error;
    }
  }

  /** A memory in which no buffer stands any more is given back, as soon as nothing is bound to it. */
  free(buffers: readonly WasmBuffer[]): void {
    for (const buffer of buffers) {
      const block = this.blockOf(buffer);
      block.release(buffer.address, size(buffer.length));
      if (--block.buffers > 0) continue;
      this.#owners.delete(block.memory);
      this.#blocks = this.#blocks.filter((other) => other !== block);
      if (this.#shared) countAsGarbage(block.memory.buffer.byteLength);
    }
  }

  /**
   * The first buffers of all lists side by side, then the second ones, and so on: a kernel that goes through the lists then
   * reads as few streams of memory as if they were one. `undefined` where no memory has room for all.
   */
  #allocateColumns(lengths: readonly (readonly number[])[]): WasmBuffer[][] | undefined {
    const bytes = lengths.flat().reduce((sum, length) => sum + size(length), 0);
    const found = this.#withRoom((block) => block.reserve(bytes));
    if (found === undefined) return undefined;
    let next = found.address;
    const lists = lengths.map((): WasmBuffer[] => []);
    for (let column = 0; column < Math.max(...lengths.map((list) => list.length)); column++) {
      lengths.forEach((list, i) => {
        if (column >= list.length) return;
        lists[i].push(makeBuffer(found.block, next, list[column]));
        next += size(list[column]);
      });
    }
    return lists;
  }

  #allocateTogether(lengths: readonly number[]): WasmBuffer[] {
    const bytes = lengths.reduce((sum, length) => sum + size(length), 0);
    const { block, address } = this.#reserve(bytes);
    let next = address;
    return lengths.map((length) => {
      const buffer = makeBuffer(block, next, length);
      next += size(length);
      return buffer;
    });
  }

  /**
   * A block whose scratch memory can have so many bytes.
   *
   * @throws AdakitError `out-of-memory`
   */
  workspace(bytes: number): Block {
    const block = this.#withRoom((block) => block.scratch(bytes))?.block;
    if (block === undefined) throw outOfMemory('a parameter with all that its step uses', bytes, this.#limit);
    return block;
  }

  #reserve(bytes: number): { readonly block: Block; readonly address: number } {
    const found = this.#withRoom((block) => block.reserve(bytes));
    if (found === undefined) throw outOfMemory('a parameter with its gradient and slots', bytes, this.#limit);
    return found;
  }

  /** The first block that has what is asked for, a new one at the end. */
  #withRoom(
    ask: (block: Block) => number | undefined,
  ): { readonly block: Block; readonly address: number } | undefined {
    for (const block of this.#blocks) {
      const address = ask(block);
      if (address !== undefined) return { block, address };
    }
    let block: Block;
    try {
      block = new Block(this.#limit, this.#shared);
    } catch {
      // A RangeError: the system gives no more.
      return undefined;
    }
    const address = ask(block);
    if (address === undefined) return undefined;
    this.#blocks = [...this.#blocks, block];
    this.#owners.set(block.memory, block);
    return { block, address };
  }
}

/**
 * V8 does not count memory that threads share when it decides whether to look for garbage, as it does ordinary one: that of ten
 * runs may wait to be given back. Garbage of the same size, which nobody writes to and so takes none, makes up for it.
 */
function countAsGarbage(bytes: number): void {
  try {
    new ArrayBuffer(Math.min(bytes, MOST_COUNTED));
  } catch {
    // A RangeError: the system gives no more.
  }
}

/** Twice as much as has V8 begin. */
const MOST_COUNTED = 2 ** 27;

function makeBuffer(block: Block, address: number, length: number): WasmBuffer {
  const { memory } = block;
  block.buffers++;
  let view: Float32Array | undefined;
  return {
    memory,
    address,
    length,
    view() {
      if (view?.buffer !== memory.buffer) view = new Float32Array(memory.buffer, address, length);
      return view;
    },
  };
}

function outOfMemory(what: string, bytes: number, limit: number): AdakitError {
  return new AdakitError(
    'out-of-memory',
    `${what} needs ${bytes} bytes together; a WebAssembly memory holds ${limit}, and less where the system has less. ` +
      'Train fewer parameters, or use jsDevice()',
  );
}
