import type { ReductionName } from '../../expression/operations.js';
import { rankOf } from '../../expression/extents.js';
import type { InstructionOf } from '../../program/fold.js';
import { needsOf, type Need } from '../../program/needs.js';
import { scalarOperands, type Instruction, type Program } from '../../program/program.js';
import { bufferNames, isTotal } from '../device.js';
import { barrierLevels } from '../levels.js';
import {
  dimensions,
  FLAT,
  NUMBER,
  shareMemory,
  spaceOf,
  type Dimensions,
  type Stored,
  type Temporary,
} from './arrays.js';
import {
  copyBytes,
  doWhile,
  extract,
  f32x4,
  F64,
  FunctionBody,
  get,
  i32,
  I32,
  i32x4,
  int,
  lanes,
  load,
  loadInt,
  loadSplat,
  loopWhile,
  moduleBytes,
  select,
  set,
  store,
  storeFloat,
  v128,
  V128,
  when,
  type Code,
} from './code.js';
import { cursorIn, throughout } from './cursor.js';
import { bits, casts, operations, signBit } from './elementwise.js';
import { callImport, imports } from './imports.js';
import { finished, reduceInBlocks, reductions, type Reducing } from './reduction.js';

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

/** Forms whose elements need nothing but the operands' elements at the same place. */
const pointwise: ReadonlySet<Instruction['form']> = new Set([
  'input',
  'constant',
  'elementwise',
  'view',
  'broadcast',
  'cast',
]);

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
  readonly #cursor = cursorIn(this.#function);
  readonly #addresses: ReadonlyMap<string, Stored>;
  /** Single numbers that have been computed: vectors of four equal elements. */
  readonly #numbers = new Map<number, number>();
  /** What {@link #clip} needs of the numbers that elements are clipped at. */
  readonly #clips = new Map<string, readonly [number, number]>();
  /** The element of each instruction inside a loop. */
  readonly #elements = new Map<number, number>();
  /** Arrays of an instruction's elements, by instruction and space. */
  readonly #stored = new Map<string, Stored>();
  readonly #temporaries: Temporary[] = [];

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
    const slots = shareMemory(this.#temporaries);
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

  #temporary(dimensions: Dimensions): Temporary {
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
        return f32x4.fromInts(i32x4.add(i32x4.splat(i32.shiftRight(get(this.#cursor.i), int(2))), lanes(0, 1, 2, 3)));
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
        value = load(i32.add(get(stored.address), get(this.#cursor.i)));
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
      [
        set(this.#cursor.bytes, i32.shiftLeft(this.#size(dimensions(space)), int(2))),
        throughout(this.#cursor, [body, act(values)]),
      ],
      [...uses, ...targets],
    );
  }

  #storeElement({ address }: Stored, value: Code): Code {
    return store(i32.add(get(address), get(this.#cursor.i)), value);
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
      return set(local, f32x4.splat(finished(items[k], this.#cursor)));
    });
    this.#emit(
      [
        set(this.#cursor.bytes, i32.shiftLeft(this.#size(dimensions(space)), int(2))),
        reduceInBlocks(this.#function, this.#cursor, items, body),
        results,
      ],
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
    const next = set(element, load(i32.add(get(from), get(this.#cursor.i))));
    this.#emit(
      [
        set(this.#cursor.bytes, i32.shiftLeft(this.#dimension(inner), int(2))),
        set(from, get(x.address)),
        set(to, get(result.address)),
        set(end, i32.add(get(to), i32.shiftLeft(this.#dimension(outer), int(2)))),
        loopWhile(i32.less(get(to), get(end)), [
          reduceInBlocks(this.#function, this.#cursor, [item], [next]),
          storeFloat(get(to), finished(item, this.#cursor)),
          set(from, i32.add(get(from), get(this.#cursor.bytes))),
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
