import { REDUCTION_BLOCK, type OperationName, type ReductionName } from '../../expression/operations.js';
import { rankOf } from '../../expression/extents.js';
import type { Shape } from '../../expression/type.js';
import type { InstructionOf } from '../../program/fold.js';
import { needsOf, type Need } from '../../program/needs.js';
import { scalarOperands, type Instruction, type Program } from '../../program/program.js';
import { bufferNames, isTotal } from '../device.js';
import { barrierLevels } from '../levels.js';
import {
  call,
  copyBytes,
  demote,
  doWhile,
  extract,
  extractDouble,
  f32x4,
  f64,
  F64,
  f64x2,
  FunctionBody,
  get,
  i32,
  I32,
  i32x4,
  int,
  lanes,
  load,
  loadDouble,
  loadInt,
  loadSplat,
  loopWhile,
  moduleBytes,
  replace,
  select,
  set,
  shuffle,
  store,
  storeDouble,
  storeFloat,
  v128,
  V128,
  when,
  type Code,
} from './code.js';
import { firstLanes } from './library.js';

/** Extents of an array: `rows` and `cols` of the parameter's matrix view, a rank, or a number. */
export type Dimensions = readonly [string, string];

/**
 * A program as a module that exports `run(base, count)`: it goes through `count` records at `base`, one for each parameter.
 * A record holds, in words of 32 bits: the addresses of {@link buffers}; rows and cols; and, counted from `base`, where
 * the {@link scalars} stand, and where each of the {@link temporaries} does.
 */
export interface KernelModule {
  readonly bytes: Uint8Array;
  readonly buffers: readonly string[];
  /** Instructions whose values the host gives, as float32. */
  readonly scalars: readonly number[];
  readonly temporaries: readonly Dimensions[];
  /**
   * Whether an element depends on those at its place and on numbers alone: parameters whose arrays stand side by side, in
   * every buffer alike, then are as good as one. Buffers by whether they hold a single number, which all must share.
   */
  readonly flat: ReadonlyMap<string, boolean> | undefined;
}

/** What a kernel calls: Math's functions, the library's, and JavaScript over its memory. */
const imports = {
  exp: { params: [F64], results: [F64] },
  log: { params: [F64], results: [F64] },
  pow: { params: [F64, F64], results: [F64] },
  /** to, a, b, rows, inner, cols, panel */
  matMul: { params: [I32, I32, I32, I32, I32, I32, I32], results: [] },
  /** to, from, rows, cols */
  transpose: { params: [I32, I32, I32, I32], results: [] },
  /** to, from, rows, cols, whether `from` is a column */
  repeat: { params: [I32, I32, I32, I32, I32], results: [] },
  /** instruction, to, from, rows, cols */
  factor: { params: [I32, I32, I32, I32, I32], results: [] },
  /** instruction, record, to, count */
  random: { params: [I32, I32, I32, I32], results: [] },
} as const;
const callImport = (name: keyof typeof imports, ...args: readonly Code[]): Code =>
  call(Object.keys(imports).indexOf(name), ...args);

const bits = (float: number): Code => i32x4.splat(int(new Int32Array(Float32Array.of(float).buffer)[0]));
const signBit = bits(-0);
/** One of Math's functions, element by element, so that results are those of JavaScript. */
const perLane = (name: 'exp' | 'log' | 'pow', ...args: readonly Code[]): Code =>
  [0, 1, 2, 3].reduce<Code>((result, lane) => {
    const operands = args.map((arg) => f64.promote(extract(lane, arg)));
    return replace(lane, result, demote(callImport(name, ...operands)));
  }, args[0]);

/** Operations on tensors: the others are for scalars alone. */
type DeviceOperation = Exclude<OperationName, 'floor' | 'mod'>;

/** The code of each operation on four elements. Comparisons give masks. */
const operations = {
  add: f32x4.add,
  sub: f32x4.sub,
  mul: f32x4.mul,
  div: f32x4.div,
  pow: (a, b) => perLane('pow', a, b),
  min: f32x4.min,
  max: f32x4.max,
  neg: f32x4.neg,
  abs: f32x4.abs,
  // ±1 with the sign of x; x itself where it is ±0 or NaN.
  sign: (x) => v128.bitselect(v128.or(v128.and(x, signBit), bits(1)), x, f32x4.greater(f32x4.abs(x), bits(0))),
  square: (x) => f32x4.mul(x, x),
  sqrt: f32x4.sqrt,
  exp: (x) => perLane('exp', x),
  log: (x) => perLane('log', x),
  equal: f32x4.equal,
  less: f32x4.less,
  lessOrEqual: f32x4.lessOrEqual,
  greater: f32x4.greater,
  greaterOrEqual: f32x4.greaterOrEqual,
  where: (condition, yes, no) => v128.bitselect(yes, no, condition),
} as const satisfies Record<DeviceOperation, (a: Code, b: Code, c: Code) => Code>;

/** Rounding to narrower formats; NaN stays. */
const casts: Record<InstructionOf<'cast'>['to']['name'], (x: Code) => Code> = {
  /** The upper half of the bits; a carry from the lower half rounds up, ties to even. */
  bfloat16(x) {
    const even = v128.and(i32x4.shiftRight(x, int(16)), i32x4.splat(int(1)));
    const rounded = v128.and(i32x4.add(i32x4.add(x, i32x4.splat(int(0x7fff))), even), i32x4.splat(int(-0x10000)));
    return v128.bitselect(rounded, x, f32x4.equal(x, x));
  },
  /** Adding 2¹³ times a magnitude's power of two, at least 2⁻¹⁴, leaves no bits below the steps of float16. */
  float16(x) {
    const magnitude = f32x4.abs(x);
    const power = i32x4.max(v128.and(x, bits(Infinity)), bits(2 ** -14));
    const coarse = i32x4.add(power, i32x4.splat(int(13 << 23)));
    const whole = f32x4.sub(f32x4.add(magnitude, coarse), coarse);
    const finite = v128.bitselect(whole, bits(Infinity), f32x4.less(magnitude, bits(65520)));
    return v128.bitselect(v128.or(finite, v128.and(x, signBit)), x, f32x4.equal(x, x));
  },
};

/** Reductions in float64: the start of an accumulator as float32 and as two words of float64, and the way to the result. */
interface Reduction {
  readonly start: Code;
  readonly startPair: Code;
  readonly term: (x: Code) => Code;
  readonly combine: (a: Code, b: Code) => Code;
  readonly combinePairs: (a: Code, b: Code) => Code;
  readonly finish: (total: Code, count: Code) => Code;
}
const same = (x: Code): Code => x;
const sum: Reduction = {
  start: bits(0),
  startPair: lanes(0, 0, 0, 0),
  term: same,
  combine: f64.add,
  combinePairs: f64x2.add,
  finish: same,
};
const reductions: Record<ReductionName, Reduction> = {
  sum,
  mean: { ...sum, finish: (total, count) => f64.div(total, f64.fromUnsigned(count)) },
  norm: { ...sum, term: (x) => f64x2.mul(x, x), finish: f64.sqrt },
  largest: {
    ...sum,
    start: bits(-Infinity),
    startPair: lanes(0, -0x100000, 0, -0x100000),
    combine: f64.max,
    combinePairs: f64x2.max,
  },
};

/** Forms whose elements need nothing but the operands' elements at the same place. */
const pointwise: ReadonlySet<Instruction['form']> = new Set([
  'input',
  'constant',
  'elementwise',
  'view',
  'broadcast',
  'cast',
]);

const PAGE = 4096;
/** Bytes by which parts of an array that are gone through side by side are more than a number of pages apart. */
const APART = 1088;
/** Bytes of a part up to which there is but one: what it is shorter than, reading ahead hardly gets going in. */
const LEAST_PART = 4 * PAGE;

const NUMBER = '1,1';
const FLAT = 'rows,cols';

/** The iteration space of values of a shape: the extents of an array that holds them. */
function spaceOf(shape: Shape): string {
  if (typeof shape === 'string') return shape === 'number' ? NUMBER : FLAT;
  return shape.join();
}
const dimensions = (space: string): Dimensions => space.split(',') as [string, string];

/** An array in memory: a buffer, or a temporary that is needed from one step of the code to another. */
interface Stored {
  readonly address: number;
  readonly dimensions?: Dimensions;
  from: number;
  until: number;
}

/** A reduction at work. */
interface Reducing {
  readonly reduction: Reduction;
  /** Four elements. */
  readonly value: Code;
  /** Accumulators of the elements 0 and 1, and 2 and 3, of every four. */
  readonly pairs: readonly [number, number];
  readonly total: number;
  /** Partial sums: one for every bit of the number of blocks. */
  readonly tree: Stored;
}

/** Elementwise code over a space, to be put into a loop. */
interface Fused {
  readonly body: readonly Code[];
  readonly values: readonly Code[];
  readonly uses: readonly Stored[];
}

/**
 * Compiles a program: one loop over four elements at a time for what is elementwise, one more for every round of
 * reductions; only operands and results of matrix operations and broadcasts of vectors are written to temporaries.
 *
 * @param shared whether it runs in memory that threads share
 */
export function compileModule(program: Program, shared: boolean): KernelModule {
  return new Compiler(program).module(shared);
}

class Compiler {
  readonly #program: Program;
  readonly #buffers: readonly string[];
  readonly #scalars: readonly number[];
  readonly #needs: readonly (Need | undefined)[];
  readonly #function = new FunctionBody([I32, I32]);
  readonly #code: Code[] = [];
  readonly #base = 0;
  readonly #count = 1;
  readonly #record = this.#function.local(I32);
  readonly #position = this.#function.local(I32);
  readonly #rows = this.#function.local(I32);
  readonly #cols = this.#function.local(I32);
  readonly #scalarsAt = this.#function.local(I32);
  /** Offset of the elements at hand from the beginning of arrays, and where it ends. */
  readonly #i = this.#function.local(I32);
  readonly #bytes = this.#function.local(I32);
  /** Bytes of each of the parts of an array that are gone through side by side. */
  readonly #part = this.#function.local(I32);
  readonly #addresses: ReadonlyMap<string, Stored>;
  /** Single numbers that have been computed: vectors of four equal elements. */
  readonly #numbers = new Map<number, number>();
  /** What {@link #clip} needs of the numbers that elements are clipped at. */
  readonly #clips = new Map<string, readonly [number, number]>();
  /** The element of each instruction inside a loop. */
  readonly #elements = new Map<number, number>();
  /** Arrays of an instruction's elements, by instruction and space. */
  readonly #stored = new Map<string, Stored>();
  readonly #temporaries: Stored[] = [];

  constructor(program: Program) {
    this.#program = program;
    this.#buffers = bufferNames(program);
    this.#scalars = scalarOperands(program);
    this.#needs = needsOf(program);
    this.#addresses = new Map(
      this.#buffers.map((name) => [name, { address: this.#function.local(I32), from: 0, until: 0 }]),
    );
  }

  module(shared: boolean): KernelModule {
    const inputs = this.#loadInputs();
    for (const barriers of barrierLevels(this.#program)) this.#emitBarriers(barriers);
    this.#emitOutputs();
    const words = this.#buffers.length + 3;
    const slots = this.#assignSlots();
    const temporaries = this.#temporaries.map(({ address }, k) =>
      set(address, i32.add(get(this.#base), loadInt(get(this.#record), 4 * (words + slots.of[k])))),
    );
    this.#function.code.push(
      set(this.#record, get(this.#base)),
      doWhile(
        [
          inputs,
          temporaries,
          this.#code,
          set(this.#record, i32.add(get(this.#record), int(4 * (words + slots.dimensions.length)))),
          set(this.#position, i32.add(get(this.#position), int(1))),
        ],
        i32.less(get(this.#position), get(this.#count)),
      ),
    );
    return {
      bytes: moduleBytes(imports, { run: this.#function }, shared),
      buffers: this.#buffers,
      scalars: this.#scalars,
      temporaries: slots.dimensions,
      flat: this.#flat(),
    };
  }

  #flat(): KernelModule['flat'] {
    const { instructions, outputs } = this.#program;
    const numbers = new Map(this.#buffers.map((name) => [name, false]));
    for (const [index, { form, type, ...rest }] of instructions.entries()) {
      if (type.place === 'host') continue;
      const space = this.#space(index);
      if (!pointwise.has(form) || (space !== NUMBER && space !== FLAT)) return undefined;
      if (form === 'input' && 'name' in rest && space === NUMBER) numbers.set(rest.name, true);
    }
    return Object.values(outputs).every((index) => this.#space(index) === FLAT) ? numbers : undefined;
  }

  #loadInputs(): Code {
    const { instructions } = this.#program;
    const word = (index: number): Code => loadInt(get(this.#record), 4 * index);
    const after = this.#buffers.length;
    const number = (index: number, value: Code): Code => {
      const local = this.#function.local(V128);
      this.#numbers.set(index, local);
      return set(local, value);
    };
    return [
      this.#buffers.map((name, k) => set(this.#address(name).address, word(k))),
      set(this.#rows, word(after)),
      set(this.#cols, word(after + 1)),
      set(this.#scalarsAt, i32.add(get(this.#base), word(after + 2))),
      this.#scalars.map((index, k) => number(index, loadSplat(get(this.#scalarsAt), 4 * k))),
      instructions.flatMap((instruction, index) =>
        instruction.form === 'input' && instruction.type.place === 'device' && this.#space(index) === NUMBER
          ? [number(index, loadSplat(get(this.#address(instruction.name).address)))]
          : [],
      ),
    ];
  }

  /** Temporaries of the same extents share memory where one is no longer needed when the other begins. */
  #assignSlots(): { readonly of: readonly number[]; readonly dimensions: readonly Dimensions[] } {
    const slots: { readonly dimensions: Dimensions; until: number }[] = [];
    const of = this.#temporaries.map(({ dimensions = ['1', '1'], from, until }) => {
      const free = slots.findIndex((slot) => slot.dimensions.join() === dimensions.join() && slot.until < from);
      if (free < 0) return slots.push({ dimensions, until }) - 1;
      slots[free].until = until;
      return free;
    });
    return { of, dimensions: slots.map((slot) => slot.dimensions) };
  }

  // --- values -----------------------------------------------------------------------------------------------------------

  #instruction(index: number): Instruction {
    return this.#program.instructions[index];
  }

  #space(index: number): string {
    return spaceOf(this.#instruction(index).type.shape);
  }

  /** The instruction that computes the elements: views and broadcasts only say where they are wanted. */
  #source(index: number): number {
    const instruction = this.#instruction(index);
    return instruction.form === 'view' || instruction.form === 'broadcast' ? this.#source(instruction.args[0]) : index;
  }

  #address(name: string): Stored {
    const stored = this.#addresses.get(name);
    if (stored === undefined) throw new Error(`this program has no buffer "${name}"`);
    return stored;
  }

  #temporary(dimensions: Dimensions): Stored {
    const stored = { address: this.#function.local(I32), dimensions, from: -1, until: -1 };
    this.#temporaries.push(stored);
    return stored;
  }

  /** Adds a step to the code. */
  #emit(code: Code, uses: readonly Stored[] = []): void {
    const now = this.#code.push(code);
    for (const stored of uses) {
      if (stored.from < 0) stored.from = now;
      stored.until = now;
    }
  }

  #dimension(dimension: string): Code {
    const [rows, cols] = [get(this.#rows), get(this.#cols)];
    if (dimension === 'rows') return rows;
    if (dimension === 'cols') return cols;
    const rank = rankOf(dimension);
    if (rank === undefined) return int(Number(dimension));
    const least = (a: Code, b: Code): Code => select(a, b, i32.less(a, b));
    return least(int(rank), least(rows, cols));
  }

  #size([rows, cols]: Dimensions): Code {
    return i32.mul(this.#dimension(rows), this.#dimension(cols));
  }

  /** The local variable of a single number, which is computed if it has not been. */
  #number(of: number): number {
    const index = this.#source(of);
    let local = this.#numbers.get(index);
    if (local !== undefined) return local;
    local = this.#function.local(V128);
    this.#numbers.set(index, local);
    const stored = this.#stored.get(`${index} ${NUMBER}`);
    if (stored !== undefined) this.#emit(set(local, loadSplat(get(stored.address))), [stored]);
    else
      this.#emit(
        set(
          local,
          this.#compute(index, (arg) => get(this.#number(arg))),
        ),
      );
    return local;
  }

  /** The code of an instruction, given that of its operands. */
  #compute(index: number, operand: (arg: number) => Code): Code {
    const instruction = this.#instruction(index);
    switch (instruction.form) {
      case 'elementwise': {
        const { op, args } = instruction;
        if (op === 'floor' || op === 'mod') break;
        const [a, b, c] = args.map(operand);
        if ((op === 'min' || op === 'max') && this.#space(index) !== NUMBER) {
          const number = args.findIndex((arg) => this.#space(this.#source(arg)) === NUMBER);
          if (number >= 0) return this.#clip(op, number === 0 ? b : a, args[number]);
        }
        // The host's conditions are the numbers 0 and 1.
        const isHost = op === 'where' && this.#instruction(args[0]).type.place === 'host';
        return operations[op](isHost ? f32x4.notEqual(a, bits(0)) : a, b, c);
      }
      case 'cast':
        return casts[instruction.to.name](operand(instruction.args[0]));
      case 'index':
        return f32x4.fromInts(i32x4.add(i32x4.splat(i32.shiftRight(get(this.#i), int(2))), lanes(0, 1, 2, 3)));
    }
    throw new Error(`${instruction.form} is no element of a loop`);
  }

  /**
   * The smaller or larger of an element and a number. WebAssembly's own instructions are many of the processor's, since they
   * prefer NaN and order the zeros; here the number settles that for all elements at once. Where it is NaN, every bit becomes
   * a one; where it is −0, no minimum is above it, and where it is +0, no maximum below, so that the sign is known.
   */
  #clip(op: 'min' | 'max', x: Code, number: number): Code {
    const bound = get(this.#number(number));
    const key = `${op} ${this.#source(number)}`;
    let masks = this.#clips.get(key);
    if (masks === undefined) {
      masks = [this.#function.local(V128), this.#function.local(V128)];
      this.#clips.set(key, masks);
      const [nan, sign] = masks;
      const isZero = i32x4.equal(bound, op === 'min' ? signBit : bits(0));
      this.#emit([set(nan, f32x4.notEqual(bound, bound)), set(sign, v128.and(isZero, signBit))]);
    }
    const [nan, sign] = masks.map(get);
    return op === 'min'
      ? v128.or(f32x4.smaller(x, bound), v128.or(nan, sign))
      : v128.andNot(v128.or(f32x4.larger(x, bound), nan), sign);
  }

  /** Code for the elements of `roots` where the space is gone through; what it needs beforehand is emitted now. */
  #fuse(roots: readonly number[], space: string): Fused {
    const body: Code[] = [];
    const uses: Stored[] = [];
    const known = new Map<number, Code>();
    const visit = (root: number): Code => {
      const index = this.#source(root);
      const own = this.#space(index);
      if (own === NUMBER) return get(this.#number(index));
      let code = known.get(index);
      if (code !== undefined) return code;
      let value: Code;
      if (own !== space || this.#existing(index, own) !== undefined) {
        const stored = this.#array(index, space);
        uses.push(stored);
        value = load(i32.add(get(stored.address), get(this.#i)));
      } else {
        value = this.#compute(index, visit);
      }
      const local = this.#elements.get(index) ?? this.#function.local(V128);
      this.#elements.set(index, local);
      body.push(set(local, value));
      known.set(index, (code = get(local)));
      return code;
    };
    return { values: roots.map(visit), body, uses };
  }

  /** A loop over a space that does something with the elements of `roots`. */
  #emitLoop(
    space: string,
    roots: readonly number[],
    act: (values: readonly Code[]) => Code,
    targets: readonly Stored[],
  ): void {
    const { body, values, uses } = this.#fuse(roots, space);
    this.#emit(
      [set(this.#bytes, i32.shiftLeft(this.#size(dimensions(space)), int(2))), this.#throughout([body, act(values)])],
      [...uses, ...targets],
    );
  }

  /**
   * Takes a step for every four elements of {@link #bytes}. The quarters of long arrays are gone through side by side: the
   * processor reads ahead for each sequence of addresses by itself. They begin where the check of the gradients has ended,
   * and no whole number of pages apart, for lines at the same place of a page compete for the same places of a cache.
   */
  #throughout(step: Code): Code {
    const [i, bytes, part] = [get(this.#i), get(this.#bytes), get(this.#part)];
    const parts = i32.shiftLeft(part, int(2));
    const next = set(this.#i, i32.add(i, int(16)));
    const pages = i32.and(i32.shiftRight(bytes, int(2)), int(-PAGE));
    return [
      set(this.#part, select(i32.sub(pages, int(PAGE - APART)), int(0), i32.less(int(LEAST_PART), pages))),
      set(this.#i, int(0)),
      loopWhile(i32.less(i, part), [
        [0, 1, 2, 3].map(() => [step, set(this.#i, i32.add(i, part))]),
        set(this.#i, i32.sub(i, parts)),
        next,
      ]),
      set(this.#i, parts),
      loopWhile(i32.less(i, bytes), [step, next]),
    ];
  }

  #storeElement({ address }: Stored, value: Code): Code {
    return store(i32.add(get(address), get(this.#i)), value);
  }

  /** The array in which the elements of an instruction stand already, if there is one. */
  #existing(index: number, space: string): Stored | undefined {
    const instruction = this.#instruction(index);
    if (instruction.form === 'input' && this.#space(index) === space) return this.#address(instruction.name);
    return this.#stored.get(`${index} ${space}`);
  }

  /** An array of an instruction's elements, repeated to fill the space; it is made if there is none. */
  #array(root: number, space = this.#space(root)): Stored {
    const index = this.#source(root);
    const own = this.#space(index);
    const existing = this.#existing(index, space);
    if (existing !== undefined) return existing;
    let result: Stored;
    if (own === space || own === NUMBER) {
      result = this.#temporary(dimensions(space));
      this.#emitLoop(space, [index], ([value]) => this.#storeElement(result, value), [result]);
    } else {
      const from = this.#array(index);
      result = this.#temporary(dimensions(space));
      const [rows, cols] = dimensions(space).map((dimension) => this.#dimension(dimension));
      const isColumn = int(Number(dimensions(own)[1] === '1'));
      this.#emit(callImport('repeat', get(result.address), get(from.address), rows, cols, isColumn), [from, result]);
    }
    this.#stored.set(`${index} ${space}`, result);
    return result;
  }

  // --- barriers ---------------------------------------------------------------------------------------------------------

  #emitBarriers(barriers: readonly number[]): void {
    const together = new Map<string, [number, InstructionOf<'reduce'>][]>();
    for (const index of barriers) {
      const instruction = this.#instruction(index);
      switch (instruction.form) {
        case 'reduce': {
          if (instruction.over !== 'all') {
            this.#reduceAlong(index, instruction);
            break;
          }
          const space = this.#space(instruction.args[0]);
          together.set(space, [...(together.get(space) ?? []), [index, instruction]]);
          break;
        }
        case 'matMul':
          this.#emitMatMul(index, instruction);
          break;
        case 'transpose': {
          const [x] = instruction.args;
          this.#stored.set(
            `${index} ${this.#space(index)}`,
            this.#transposed(this.#array(x), dimensions(this.#space(x))),
          );
          break;
        }
        case 'factor': {
          const x = this.#array(instruction.args[0]);
          const result = this.#result(index);
          const sizes = dimensions(this.#space(index)).map((dimension) => this.#dimension(dimension));
          const factor = callImport('factor', int(index), get(result.address), get(x.address), ...sizes);
          this.#emit(this.#ifNeeded(index, factor), [x, result]);
          break;
        }
        case 'random': {
          const result = this.#result(index);
          const count = this.#size(dimensions(FLAT));
          this.#emit(callImport('random', int(index), get(this.#position), get(result.address), count), [result]);
        }
      }
    }
    for (const [space, list] of together) this.#reduceAll(space, list);
  }

  /** A temporary for all elements of an instruction. */
  #result(index: number): Stored {
    const result = this.#temporary(dimensions(this.#space(index)));
    this.#stored.set(`${index} ${this.#space(index)}`, result);
    return result;
  }

  #emitMatMul(index: number, { args }: InstructionOf<'matMul'>): void {
    const [a, b] = args.map((arg) => this.#array(arg));
    const [[rows, inner], [, cols]] = args.map((arg) => dimensions(this.#space(arg)));
    const [panel, result] = [this.#temporary([inner, '8']), this.#result(index)];
    const sizes = [rows, inner, cols].map((dimension) => this.#dimension(dimension));
    const [to, left, right, beside] = [result, a, b, panel].map(({ address }) => get(address));
    const product = callImport('matMul', to, left, right, ...sizes, beside);
    this.#emit(this.#ifNeeded(index, product), [a, b, panel, result]);
  }

  /** Code for an instruction's array, which is left as it is where nobody looks at it. */
  #ifNeeded(index: number, code: Code): Code {
    const need = this.#needs[index];
    if (need === undefined) return code;
    // A comparison's outcome is 1 or 0, and 0 has no bits.
    const holds = loadInt(get(this.#scalarsAt), 4 * this.#scalars.indexOf(need.condition));
    return when(need.is ? holds : i32.equal(holds, int(0)), code);
  }

  #transposed(x: Stored, [rows, cols]: Dimensions): Stored {
    const result = this.#temporary([cols, rows]);
    const sizes = [this.#dimension(rows), this.#dimension(cols)];
    this.#emit(callImport('transpose', get(result.address), get(x.address), ...sizes), [x, result]);
    return result;
  }

  /** Reductions of one round share a loop. */
  #reduceAll(space: string, list: readonly [number, InstructionOf<'reduce'>][]): void {
    const { body, values, uses } = this.#fuse(
      list.map(([, { args }]) => args[0]),
      space,
    );
    const items = list.map(([, { op }], k) => this.#reducing(op, values[k]));
    const results = list.map(([index], k) => {
      const local = this.#function.local(V128);
      this.#numbers.set(index, local);
      return set(local, f32x4.splat(this.#finished(items[k])));
    });
    this.#emit(
      [set(this.#bytes, i32.shiftLeft(this.#size(dimensions(space)), int(2))), this.#reduction(items, body), results],
      [...uses, ...items.map(({ tree }) => tree)],
    );
  }

  /** Along columns every row is reduced for itself; along rows, every row of the transposed matrix. */
  #reduceAlong(index: number, { op, over, args: [arg] }: InstructionOf<'reduce'>): void {
    const [rows, cols] = dimensions(this.#space(arg));
    const given = this.#array(arg);
    const x = over === 'cols' ? given : this.#transposed(given, [rows, cols]);
    const [outer, inner] = over === 'cols' ? [rows, cols] : [cols, rows];
    const result = this.#result(index);
    const [from, to, end] = [0, 1, 2].map(() => this.#function.local(I32));
    const element = this.#function.local(V128);
    const item = this.#reducing(op, get(element));
    this.#emit(
      [
        set(this.#bytes, i32.shiftLeft(this.#dimension(inner), int(2))),
        set(from, get(x.address)),
        set(to, get(result.address)),
        set(end, i32.add(get(to), i32.shiftLeft(this.#dimension(outer), int(2)))),
        loopWhile(i32.less(get(to), get(end)), [
          this.#reduction([item], [set(element, load(i32.add(get(from), get(this.#i))))]),
          storeFloat(get(to), this.#finished(item)),
          set(from, i32.add(get(from), get(this.#bytes))),
          set(to, i32.add(get(to), int(4))),
        ]),
      ],
      [x, result, item.tree],
    );
  }

  #reducing(op: ReductionName, value: Code): Reducing {
    return {
      reduction: reductions[op],
      value,
      pairs: [this.#function.local(V128), this.#function.local(V128)],
      total: this.#function.local(F64),
      tree: this.#temporary(['64', '1']),
    };
  }

  #finished({ reduction, total }: Reducing): Code {
    return demote(reduction.finish(get(total), i32.shiftRight(get(this.#bytes), int(2))));
  }

  /**
   * Reduces {@link #bytes} of elements in the order of `reduceInOrder`. Partial sums of 2ᵏ blocks wait at most one each, as
   * the bits of a binary counter do, which gives the same tree as combining neighbours round by round.
   */
  #reduction(items: readonly Reducing[], body: readonly Code[]): Code {
    const [end, blocks, carry, at] = [0, 1, 2, 3].map(() => this.#function.local(I32));
    const [i, bytes] = [get(this.#i), get(this.#bytes)];
    const accumulate = (masked: boolean): Code => [
      body,
      items.map(({ reduction, value, pairs: [lower, upper] }) => {
        const rest = firstLanes(i32.shiftRight(i32.sub(get(end), i), int(2)));
        const x = masked ? v128.bitselect(value, reduction.start, rest) : value;
        return [x, shuffle(x, x, 2, 3, 2, 3)].map((half, k) => {
          const pair = k === 0 ? lower : upper;
          return set(pair, reduction.combinePairs(get(pair), reduction.term(f64x2.promoteLower(half))));
        });
      }),
    ];
    const joinTree = ({ reduction, total }: Reducing, condition: Code, next: Code = []): Code =>
      loopWhile(condition, [
        set(at, i32.sub(get(at), int(8))),
        set(total, reduction.combine(loadDouble(get(at)), get(total))),
        next,
      ]);
    const block = [
      set(end, i32.add(i, int(4 * REDUCTION_BLOCK))),
      set(end, select(get(end), bytes, i32.less(get(end), bytes))),
      items.map(({ reduction, pairs }) => pairs.map((pair) => set(pair, reduction.startPair))),
      loopWhile(i32.lessOrEqual(i32.add(i, int(16)), get(end)), [accumulate(false), set(this.#i, i32.add(i, int(16)))]),
      when(i32.less(i, get(end)), accumulate(true)),
      set(this.#i, get(end)),
      items.map((item) => {
        const { reduction, pairs, total, tree } = item;
        const [lower, upper] = pairs.map((pair) =>
          reduction.combine(extractDouble(0, get(pair)), extractDouble(1, get(pair))),
        );
        return [
          set(total, reduction.combine(lower, upper)),
          set(at, i32.add(get(tree.address), i32.shiftLeft(i32.popcount(get(blocks)), int(3)))),
          set(carry, get(blocks)),
          joinTree(item, i32.and(get(carry), int(1)), set(carry, i32.shiftRight(get(carry), int(1)))),
          storeDouble(get(at), get(total)),
        ];
      }),
      set(blocks, i32.add(get(blocks), int(1))),
    ];
    return [
      set(this.#i, int(0)),
      set(blocks, int(0)),
      doWhile(block, i32.less(i, bytes)),
      items.map((item) => [
        set(at, i32.add(get(item.tree.address), i32.shiftLeft(i32.popcount(get(blocks)), int(3)))),
        set(at, i32.sub(get(at), int(8))),
        set(item.total, loadDouble(get(at))),
        joinTree(item, i32.less(get(item.tree.address), get(at))),
      ]),
    ];
  }

  // --- outputs ----------------------------------------------------------------------------------------------------------

  /** Nothing is overwritten before everything has been read: the last loop writes in place, others and numbers wait. */
  #emitOutputs(): void {
    const later: Code[] = [];
    const uses: Stored[] = [];
    const bySpace = new Map<string, [string, number][]>();
    for (const [name, index] of Object.entries(this.#program.outputs)) {
      const space = this.#space(index);
      if (space !== NUMBER) {
        bySpace.set(space, [...(bySpace.get(space) ?? []), [name, index]]);
        continue;
      }
      const [value, target] = [get(this.#number(index)), get(this.#address(name).address)];
      const old = loadSplat(target);
      const combined = name.startsWith('sum.') ? f32x4.add(old, value) : f32x4.max(old, value);
      later.push(storeFloat(target, extract(0, isTotal(name) ? combined : value)));
    }
    // The parameter's own shape is the largest, as a rule.
    const spaces = [...bySpace.keys()].sort((a, b) => Number(a === FLAT) - Number(b === FLAT));
    for (const space of spaces) {
      const outputs = bySpace.get(space) ?? [];
      const inPlace = space === spaces.at(-1);
      const targets = outputs.map(([name]) => (inPlace ? this.#address(name) : this.#temporary(dimensions(space))));
      this.#emitLoop(
        space,
        outputs.map(([, index]) => index),
        (values) => values.map((value, k) => this.#storeElement(targets[k], value)),
        targets,
      );
      if (inPlace) continue;
      const bytes = i32.shiftLeft(this.#size(dimensions(space)), int(2));
      outputs.forEach(([name], k) => {
        later.push(copyBytes(get(this.#address(name).address), get(targets[k].address), bytes));
      });
      uses.push(...targets);
    }
    this.#emit(later, uses);
  }
}
