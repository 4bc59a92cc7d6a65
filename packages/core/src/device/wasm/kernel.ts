import { extentSize } from '../../expression/extents.js';
import type { Extents } from '../../expression/type.js';
import type { Program } from '../../program/program.js';
import type { Binding, Kernel } from '../device.js';
import { aligned, size, SLACK, type WasmBuffer } from './arena.js';
import type { Dimensions } from './arrays.js';
import { compileModule } from './compile.js';
import { dividedRecords, type DividedRecords } from './records.js';
import { makeCalls, type KernelCall, type KernelThreads, type ThreadCode } from './threads.js';
import { webAssembly, type WasmMemory, type WasmModule } from './webassembly.js';

type Buffers = Binding<WasmBuffer>['buffers'];
type RunRecords = (base: number, count: number) => void;
/** A program's module in a memory, for this thread and for others. */
interface Instance {
  readonly run: RunRecords;
  readonly code: ThreadCode;
}
/** The functions of the library, by name. */
export interface Library {
  readonly nonFinite: (table: number, count: number) => void;
  readonly matMul: unknown;
  readonly transpose: unknown;
  /** `nonFinite` for other threads. */
  readonly code: ThreadCode;
}

/** A memory that kernels run in. */
export interface KernelMemory {
  readonly memory: WasmMemory;
  /**
   * The address of a range that a kernel may use while it runs, of whatever content; `undefined` where there is no room.
   * What has been had once can be had again.
   */
  scratch(bytes: number): number | undefined;
}

/** The memories that buffers may stand in. */
export interface KernelMemories {
  of(buffer: WasmBuffer): KernelMemory;
  /** One whose scratch memory can have so many bytes. @throws AdakitError `out-of-memory` */
  workspace(bytes: number): KernelMemory;
}

/** Bindings that one call takes, one after the other: their buffers are in one memory, or are copied there. */
interface Segment {
  readonly block: KernelMemory;
  /** The number of bindings ahead of these. */
  readonly first: number;
  /** A record for each binding. */
  readonly records: Int32Array;
  /** For each binding, whether it stands side by side with the one before: they are as good as one if they share scalars. */
  readonly beside: readonly boolean[];
  /** Of the last call, whose scalars were mostly shared by the same. */
  table: Table;
  readonly bytes: number;
  /** Buffers of other memories, and where their copies stand in the scratch memory. */
  readonly guests: readonly { readonly buffer: WasmBuffer; readonly word: number; readonly at: number }[];
}

/** What a segment's last run was for, with its records. */
interface Table extends DividedRecords {
  /** The first binding of each range of bindings that are as good as one. */
  readonly starts: readonly number[];
  /** How many threads there were. */
  readonly threads: number;
}

/** Of a segment that has not run yet. */
const NO_TABLE: Table = { starts: [], threads: 0, records: new Int32Array(), ranges: [], calls: [] };

/** Compiles a program to a WebAssembly module, and runs it on tables of buffers. */
export function wasmKernel(
  program: Program,
  memories: KernelMemories,
  libraryOf: (block: KernelMemory) => Library,
  threads?: KernelThreads,
): Kernel<WasmBuffer> {
  const { bytes, buffers, scalars: operands, temporaries, flat } = compileModule(program, threads !== undefined);
  const module: WasmModule = new (webAssembly().Module)(bytes);
  const instances = new WeakMap<KernelMemory, Instance>();
  /** Scalars of the records of a call, for random numbers, which are drawn in JavaScript. */
  let current: readonly Float64Array[] = [];

  const instanceIn = (block: KernelMemory): Instance => {
    let instance = instances.get(block);
    if (instance === undefined) {
      const random = (index: number, record: number, to: number, count: number): void => {
        const instruction = program.instructions[index];
        if (instruction.form !== 'random') return;
        const [seed, key, step] = instruction.args.map((arg) => current[record][arg]);
        const { distribution, stream, draw } = instruction;
        draw(distribution, { seed, key, step, stream }, new Float32Array(block.memory.buffer, to >>> 0, count));
      };
      const factor = (index: number, to: number, from: number, rows: number, cols: number): void => {
        const instruction = program.instructions[index];
        if (instruction.form !== 'factor') return;
        const elements = (at: number) => new Float32Array(block.memory.buffer, at >>> 0, rows * cols);
        elements(to).set(instruction.compute(elements(from), rows, cols));
      };
      const { exp, log, pow } = Math;
      const { matMul, transpose } = libraryOf(block);
      const functions = { m: block.memory, exp, log, pow, matMul, transpose, repeat: repeatIn(block), factor, random };
      const run = new (webAssembly().Instance)(module, { e: functions }).exports.run as RunRecords;
      instances.set(block, (instance = { run, code: { module, memory: block.memory, name: 'run' } }));
    }
    return instance;
  };

  const words = buffers.length + 3 + temporaries.length;
  const scalarsWord = buffers.length + 2;
  const stride = 4 * operands.length;
  /** Whether a buffer holds an element for each of the parameter's, where bindings side by side are as good as one. */
  const arrays = buffers.map((name) => flat?.get(name) === false);
  const layout = { words, arrays };

  const isBeside = (given: Buffers, before: Buffers): boolean =>
    buffers.every(
      (name) => given[name].address === before[name].address + (flat?.get(name) ? 0 : size(before[name].length)),
    );

  /** @param block where the kernel runs; buffers of all others are guests, of which only one binding may have some */
  const layOut = (
    bindings: readonly Binding<WasmBuffer>[],
    first: number,
    block?: KernelMemory,
  ): Omit<Segment, 'block'> => {
    const records = new Int32Array(words * bindings.length);
    // A thread more is a record more, at most.
    const most = words * (bindings.length + (threads?.most ?? 1) - 1);
    const afterScalars = aligned(4 * most + stride * bindings.length);
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
    const guests: Segment['guests'][number][] = [];
    buffers.forEach((name, word) => {
      const buffer = bindings[0].buffers[name];
      if (memories.of(buffer) === block) return;
      const known = guests.find((guest) => guest.buffer === buffer);
      guests.push({ buffer, word, at: known?.at ?? end });
      if (known === undefined) end += aligned(4 * buffer.length + SLACK);
    });
    const beside = bindings.map((binding, i) => {
      return flat !== undefined && i > 0 && isBeside(binding.buffers, bindings[i - 1].buffers);
    });
    return { first, records, beside, table: NO_TABLE, bytes: end, guests };
  };

  /** Records for these scalars: bindings side by side that share theirs are as good as one. */
  const tableFor = (segment: Segment, scalars: readonly Float64Array[]): Table => {
    const { records, beside, first, table, guests } = segment;
    const starts: number[] = [];
    for (let i = 0; i < beside.length; i++) {
      if (!beside[i] || scalars[first + i] !== scalars[first + i - 1]) starts.push(i);
    }
    const sharing = flat !== undefined && guests.length === 0 ? threads : undefined;
    const count = sharing?.available() ?? 1;
    const known = count === table.threads && starts.length === table.starts.length;
    if (known && starts.every((start, r) => start === table.starts[r])) return table;
    return (segment.table = { ...dividedRecords(records, starts, layout, sharing), starts, threads: count });
  };

  const segmentsIn = (block: KernelMemory, bindings: readonly Binding<WasmBuffer>[], first: number): Segment[] => {
    const segment = layOut(bindings, first, block);
    if (block.scratch(segment.bytes) !== undefined) return [{ ...segment, block }];
    if (bindings.length > 1) return bindings.flatMap((binding, i) => segmentsIn(block, [binding], first + i));
    // Its memory is full: the kernel runs where there is room, on copies of all buffers.
    const elsewhere = layOut(bindings, first);
    return [{ ...elsewhere, block: memories.workspace(elsewhere.bytes) }];
  };

  const runSegment = (segment: Segment, scalars: readonly Float64Array[]): void => {
    const { block, first, bytes: needed, guests } = segment;
    const { records, starts, ranges, calls } = tableFor(segment, scalars);
    const { run, code } = instanceIn(block);
    const base = block.scratch(needed);
    if (base === undefined) throw new Error('scratch memory that a kernel was bound to is gone');
    const { buffer: memory } = block.memory;
    const floats = new Float32Array(memory, base);
    current = starts.map((start) => scalars[first + start]);
    let at = 4 * records.length - stride;
    let last: Float64Array | undefined;
    let r = 0;
    for (const [from, count] of calls) {
      for (const end = r + count; r < end; r++) {
        const values = current[ranges[r]];
        if (values !== last) {
          at += stride;
          for (let k = 0; k < operands.length; k++) floats[at / 4 + k] = values[operands[k]];
          last = values;
        }
        records[r * words + scalarsWord] = at - from;
      }
    }
    for (const { buffer, word, at: offset } of guests) {
      records[word] = base + offset;
      floats.set(buffer.view(), offset / 4);
    }
    new Int32Array(memory, base, records.length).set(records);
    const here = calls.map(([from, count]): KernelCall => [base + from, count]);
    makeCalls(here, run, code, threads);
    for (const { buffer, at: offset } of guests) {
      buffer.view().set(floats.subarray(offset / 4, offset / 4 + buffer.length));
    }
  };

  return {
    bind(bindings) {
      const segments = neighbours(bindings, memories).flatMap(({ from, to, block }) =>
        segmentsIn(block, bindings.slice(from, to), from),
      );
      return {
        run(scalars) {
          for (const segment of segments) runSegment(segment, scalars);
        },
      };
    },
  };
}

/** Bindings that follow each other in one memory, and single ones that reach into several. */
function neighbours(
  bindings: readonly Binding<WasmBuffer>[],
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

function bytesOf(dimensions: Dimensions, extents: Extents): number {
  const [rows, cols] = dimensions.map((dimension) => extentSize(dimension, extents));
  return aligned(4 * rows * cols + SLACK);
}

/** Repeats a row or a column: as integers, since masks are NaNs, whose bits JavaScript may change. */
function repeatIn({ memory }: KernelMemory) {
  return (to: number, from: number, rows: number, cols: number, isColumn: number): void => {
    const elements = new Int32Array(memory.buffer);
    const [target, source] = [to >>> 2, from >>> 2];
    for (let row = 0; row < rows; row++) {
      const start = target + row * cols;
      if (isColumn !== 0) elements.fill(elements[source + row], start, start + cols);
      else elements.copyWithin(start, source, source + cols);
    }
  };
}
