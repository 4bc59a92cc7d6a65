import type { Program } from '../../program/program.js';
import type { ThreadCode } from './threads.js';
import { webAssembly, type WasmMemory, type WasmModule } from './webassembly.js';

/** The functions of the library, by name. */
export interface Library {
  readonly nonFinite: (table: number, count: number) => void;
  readonly matMul: unknown;
  readonly transpose: unknown;
  /** `nonFinite` for other threads. */
  readonly code: ThreadCode;
}

/** A program's module in a memory. */
export class Instance {
  /** Goes through so many records from an address on. */
  readonly run: (base: number, count: number) => void;
  /** The same for other threads. */
  readonly code: ThreadCode;
  /** Of the records of a call: random numbers are drawn in JavaScript. */
  scalars: readonly Float64Array[] = [];

  constructor(program: Program, module: WasmModule, memory: WasmMemory, { matMul, transpose }: Library) {
    const { exp, log, pow } = Math;
    const repeat = repeatIn(memory);
    const factor = factorIn(memory, program);
    const random = randomIn(memory, program, (record) => this.scalars[record]);
    const functions = { m: memory, exp, log, pow, matMul, transpose, repeat, factor, random };
    this.run = new (webAssembly().Instance)(module, { e: functions }).exports.run as Instance['run'];
    this.code = { module, memory, name: 'run' };
  }
}

/** Draws `count` random numbers, as an instruction of the program says. */
function randomIn(memory: WasmMemory, { instructions }: Program, scalarsOf: (record: number) => Float64Array) {
  return (index: number, record: number, to: number, count: number): void => {
    const instruction = instructions[index];
    if (instruction.form !== 'random') return;
    const scalars = scalarsOf(record);
    const [seed, key, step] = instruction.args.map((arg) => scalars[arg]);
    const { distribution, stream, draw } = instruction;
    draw(distribution, { seed, key, step, stream }, new Float32Array(memory.buffer, to >>> 0, count));
  };
}

/** Computes a factor of a matrix, as an instruction of the program says. */
function factorIn(memory: WasmMemory, { instructions }: Program) {
  return (index: number, to: number, from: number, rows: number, cols: number): void => {
    const instruction = instructions[index];
    if (instruction.form !== 'factor') return;
    const elements = (at: number) => new Float32Array(memory.buffer, at >>> 0, rows * cols);
    elements(to).set(instruction.compute(elements(from), rows, cols));
  };
}

/** Repeats a row or a column: as integers, since masks are NaNs, whose bits JavaScript may change. */
function repeatIn(memory: WasmMemory) {
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
