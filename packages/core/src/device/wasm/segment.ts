import { extentSize } from '../../expression/extents.js';
import type { Extents } from '../../expression/type.js';
import type { Binding } from '../device.js';
import { aligned, size, SLACK, type WasmBuffer } from './arena.js';
import type { Dimensions } from './arrays.js';
import type { KernelModule } from './compile.js';
import type { Instance } from './instance.js';
import type { KernelMemories, KernelMemory } from './memories.js';
import { dividedRecords, type DividedRecords } from './records.js';
import { makeCalls, type KernelCall, type KernelThreads } from './threads.js';

type Bindings = readonly Binding<WasmBuffer>[];

/** What is run, and where. */
interface Context {
  readonly compiled: KernelModule;
  readonly memories: KernelMemories;
  readonly threads: KernelThreads | undefined;
}

/** Divides bindings into segments, in their order. */
export function segmentsOf(bindings: Bindings, context: Context): readonly Segment[] {
  return neighbours(bindings, context.memories).flatMap(({ from, to, block }) =>
    segmentsIn(block, bindings.slice(from, to), from, context),
  );
}

/** Bindings that follow each other in one memory, and single ones that reach into several. */
function neighbours(
  bindings: Bindings,
  memories: KernelMemories,
): { readonly from: number; readonly to: number; readonly block: KernelMemory }[] {
  const segments: { from: number; to: number; block: KernelMemory; alone: boolean }[] = [];
  bindings.forEach(({ buffers }, index) => {
    const [largest, ...others] = Object.values(buffers).sort((a, b) => b.length - a.length);
    const block = memories.of(largest);
    const alone = others.some((other) => memories.of(other) !== block);
    const last = segments.at(-1);
    if (last !== undefined && !alone && !last.alone && last.block === block) last.to = index + 1;
    else segments.push({ from: index, to: index + 1, block, alone });
  });
  return segments;
}

function segmentsIn(block: KernelMemory, bindings: Bindings, first: number, context: Context): Segment[] {
  const layout = layOut(bindings, context, block);
  if (block.scratch(layout.bytes) !== undefined) return [new Segment(block, first, layout, context)];
  if (bindings.length > 1) return bindings.flatMap((binding, i) => segmentsIn(block, [binding], first + i, context));
  // Its memory is full: the kernel runs where there is room, on copies of all buffers.
  const elsewhere = layOut(bindings, context);
  return [new Segment(context.memories.workspace(elsewhere.bytes), first, elsewhere, context)];
}

/** The scratch memory of a segment: records, scalars, temporaries, and copies of buffers that stand elsewhere. */
interface Layout {
  /** A record for each binding. */
  readonly records: Int32Array;
  readonly bytes: number;
  /** For each binding, whether it stands side by side with the one before: they are as good as one if they share scalars. */
  readonly beside: readonly boolean[];
  /** Buffers of other memories, and where their copies stand in the scratch memory. */
  readonly guests: readonly { readonly buffer: WasmBuffer; readonly word: number; readonly at: number }[];
}

/** @param block where the kernel runs; buffers of all others are guests, of which only one binding may have some */
function layOut(bindings: Bindings, { compiled, memories, threads }: Context, block?: KernelMemory): Layout {
  const { buffers, temporaries, scalars } = compiled;
  const words = wordsOf(compiled);
  const records = new Int32Array(words * bindings.length);
  // A thread more is a record more, at most.
  const most = words * (bindings.length + (threads?.most ?? 1) - 1);
  const afterScalars = aligned(4 * (most + scalars.length * bindings.length));
  let end = afterScalars;
  bindings.forEach(({ buffers: given, extents }, r) => {
    let at = afterScalars;
    const offsets = temporaries.map((dimensions) => {
      const offset = at;
      at += bytesOf(dimensions, extents);
      return offset;
    });
    end = Math.max(end, at);
    const addresses = buffers.map((name) => given[name].address);
    records.set([...addresses, extents.rows, extents.cols, 0, ...offsets], r * words);
  });
  const guests: Layout['guests'][number][] = [];
  buffers.forEach((name, word) => {
    const buffer = bindings[0].buffers[name];
    if (memories.of(buffer) === block) return;
    const known = guests.find((guest) => guest.buffer === buffer);
    guests.push({ buffer, word, at: known?.at ?? end });
    if (known === undefined) end += aligned(4 * buffer.length + SLACK);
  });
  const beside = bindings.map((binding, i) => i > 0 && isBeside(binding, bindings[i - 1], compiled));
  return { records, bytes: end, beside, guests };
}

/** Words of a record. */
function wordsOf({ buffers, temporaries }: KernelModule): number {
  return buffers.length + 3 + temporaries.length;
}

function bytesOf(dimensions: Dimensions, extents: Extents): number {
  const [rows, cols] = dimensions.map((dimension) => extentSize(dimension, extents));
  return aligned(4 * rows * cols + SLACK);
}

function isBeside(
  { buffers: given }: Binding<WasmBuffer>,
  { buffers: before }: Binding<WasmBuffer>,
  { buffers, flat }: KernelModule,
): boolean {
  if (flat === undefined) return false;
  return buffers.every(
    (name) => given[name].address === before[name].address + (flat.get(name) ? 0 : size(before[name].length)),
  );
}

/** What a segment's last run was for, with its records. */
interface Table extends DividedRecords {
  /** The first binding of each range of bindings that are as good as one. */
  readonly starts: readonly number[];
  /** How many threads there were. */
  readonly threads: number;
}

/** Bindings that one call takes, one after the other: their buffers are in one memory, or are copied there. */
export class Segment {
  readonly block: KernelMemory;
  /** The number of bindings ahead of these. */
  readonly #first: number;
  readonly #layout: Layout;
  readonly #context: Context;
  /** Of the last call, whose scalars were mostly shared by the same. */
  #table: Table = { starts: [], threads: 0, records: new Int32Array(), ranges: [], calls: [] };

  constructor(block: KernelMemory, first: number, layout: Layout, context: Context) {
    this.block = block;
    this.#first = first;
    this.#layout = layout;
    this.#context = context;
  }

  /** @param scalars one number for every instruction of the program, for each binding of the kernel */
  run(instance: Instance, scalars: readonly Float64Array[]): void {
    const { bytes, guests } = this.#layout;
    const table = this.#tableFor(scalars);
    const { records, starts, calls } = table;
    const base = this.block.scratch(bytes);
    if (base === undefined) throw new Error('scratch memory that a kernel was bound to is gone');
    const { buffer: memory } = this.block.memory;
    const floats = new Float32Array(memory, base);
    instance.scalars = starts.map((start) => scalars[this.#first + start]);
    this.#writeScalars(table, instance.scalars, floats);
    for (const { buffer, word, at } of guests) {
      records[word] = base + at;
      floats.set(buffer.view(), at / 4);
    }
    new Int32Array(memory, base, records.length).set(records);
    const here = calls.map(([from, count]): KernelCall => [base + from, count]);
    makeCalls(here, instance.run, instance.code, this.#context.threads);
    for (const { buffer, at } of guests) buffer.view().set(floats.subarray(at / 4, at / 4 + buffer.length));
  }

  /** Records for these scalars: bindings side by side that share theirs are as good as one. */
  #tableFor(scalars: readonly Float64Array[]): Table {
    const { records, beside, guests } = this.#layout;
    const { compiled, threads } = this.#context;
    const [table, first] = [this.#table, this.#first];
    const starts: number[] = [];
    for (let i = 0; i < beside.length; i++) {
      if (!beside[i] || scalars[first + i] !== scalars[first + i - 1]) starts.push(i);
    }
    const sharing = compiled.flat !== undefined && guests.length === 0 ? threads : undefined;
    const count = sharing?.available() ?? 1;
    const known = count === table.threads && starts.length === table.starts.length;
    if (known && starts.every((start, r) => start === table.starts[r])) return table;
    // Whether a buffer holds an element for each of the parameter's, where bindings side by side are as good as one.
    const arrays = compiled.buffers.map((name) => compiled.flat?.get(name) === false);
    const divided = dividedRecords(records, starts, { words: wordsOf(compiled), arrays }, sharing);
    return (this.#table = { ...divided, starts, threads: count });
  }

  /** Puts scalars behind the records, once where records that follow each other share them, and says in each where they are. */
  #writeScalars({ records, ranges, calls }: Table, ofRanges: readonly Float64Array[], floats: Float32Array): void {
    const { buffers, scalars: operands } = this.#context.compiled;
    const stride = 4 * operands.length;
    const words = wordsOf(this.#context.compiled);
    let at = 4 * records.length - stride;
    let last: Float64Array | undefined;
    let r = 0;
    for (const [from, count] of calls) {
      for (const end = r + count; r < end; r++) {
        const values = ofRanges[ranges[r]];
        if (values !== last) {
          at += stride;
          for (let k = 0; k < operands.length; k++) floats[at / 4 + k] = values[operands[k]];
          last = values;
        }
        records[r * words + buffers.length + 2] = at - from;
      }
    }
  }
}
