import { REDUCTION_BLOCK, type OperationName, type ReductionName } from '../../expression/operations.js';
import { rankOf } from '../../expression/extents.js';
import type { Extent, Shape } from '../../expression/type.js';
import type { InstructionOf } from '../../program/fold.js';
import { needsOf, type Need } from '../../program/needs.js';
import type { Instruction, Program } from '../../program/program.js';
import { fillRandom } from '../../random/philox.js';
import { bfloat16, float16 } from '../../tensor/narrow.js';
import { elementCount, type FloatArray } from '../../tensor/tensor-data.js';
import { bufferNames, isTotal, type Kernel } from '../device.js';
import { barrierLevels } from '../levels.js';

/** A compiled program: reads and writes `arrays`, in the order of `bufferNames`. */
type Update = (
  arrays: readonly FloatArray[],
  scalars: Float64Array,
  count: number,
  rows: number,
  cols: number,
  support: Support,
  instructions: Program['instructions'],
) => void;
type Support = typeof support;

/** What generated code calls. */
const support = {
  matMul,
  transposed,
  fillRandom: (
    distribution: 'uniform' | 'normal',
    seed: number,
    key: number,
    step: number,
    stream: number,
    length: number,
  ) => {
    const data = new Float32Array(length);
    fillRandom(distribution, { seed, key, step, stream }, data);
    return data;
  },
  float16,
  bfloat16,
  pairwise,
} as const;

/**
 * Compiles a program to JavaScript: one loop over all elements for what is elementwise, one more for every round of
 * reductions, without temporary arrays but for products of matrices. Every operation is rounded with Math.fround, so that
 * the result equals the float32 reference's bit for bit. V8 computes in float64 and rounds by conversion there and back,
 * which is most of the time: Adam takes 15 ns a parameter, and would take 6 without rounding.
 *
 * Needs `new Function`: where a content security policy forbids it, use the reference device.
 */
export function compileKernel(program: Program): Kernel<FloatArray> {
  // The source is built from this program's operations and numbered variables alone: no text from outside enters it.
  // eslint-disable-next-line @typescript-eslint/no-implied-eval
  const update = new Function(
    'arrays',
    'scalars',
    'n',
    'rows',
    'cols',
    'support',
    'instructions',
    kernelSource(program),
  ) as Update;
  const names = bufferNames(program);
  return {
    bind(bindings) {
      const bound = bindings.map(({ buffers, shape, extents }) => ({
        arrays: names.map((name) => buffers[name]),
        count: elementCount(shape),
        ...extents,
      }));
      return {
        run(scalars) {
          bound.forEach(({ arrays, count, rows, cols }, i) => {
            update(arrays, scalars[i], count, rows, cols, support, program.instructions);
          });
        },
      };
    },
  };
}

/** JavaScript for one operation on operand expressions. Comparisons yield booleans, which only `where` reads. */
const templates: Record<OperationName, (a: string, b: string, c: string) => string> = {
  add: (a, b) => `f(${a} + ${b})`,
  sub: (a, b) => `f(${a} - ${b})`,
  mul: (a, b) => `f(${a} * ${b})`,
  div: (a, b) => `f(${a} / ${b})`,
  pow: (a, b) => `f(Math.pow(${a}, ${b}))`,
  min: (a, b) => `Math.min(${a}, ${b})`,
  max: (a, b) => `Math.max(${a}, ${b})`,
  neg: (a) => `-${a}`,
  abs: (a) => `Math.abs(${a})`,
  sign: (a) => `Math.sign(${a})`,
  square: (a) => `f(${a} * ${a})`,
  sqrt: (a) => `f(Math.sqrt(${a}))`,
  exp: (a) => `f(Math.exp(${a}))`,
  log: (a) => `f(Math.log(${a}))`,
  floor: (a) => `Math.floor(${a})`,
  mod: (a, b) => `f(${a} - ${b} * Math.floor(${a} / ${b}))`,
  equal: (a, b) => `${a} === ${b}`,
  less: (a, b) => `${a} < ${b}`,
  lessOrEqual: (a, b) => `${a} <= ${b}`,
  greater: (a, b) => `${a} > ${b}`,
  greaterOrEqual: (a, b) => `${a} >= ${b}`,
  where: (a, b, c) => `(${a} ? ${b} : ${c})`,
};

const combine: Record<ReductionName, (total: string, x: string) => string> = {
  sum: (total, x) => `${total} += ${x}`,
  mean: (total, x) => `${total} += ${x}`,
  norm: (total, x) => `${total} += ${x} * ${x}`,
  largest: (total, x) => `${total} = Math.max(${total}, ${x})`,
};
const finish: Record<ReductionName, (total: string, count: string) => string> = {
  sum: (total) => total,
  mean: (total, count) => `${total} / (${count})`,
  norm: (total) => `Math.sqrt(${total})`,
  largest: (total) => total,
};

/** The kernel's JavaScript; `v12` is an element of instruction 12, `a12` an array of all its elements. */
function kernelSource(program: Program): string {
  return new Source(program).text();
}

class Source {
  readonly #program: Program;
  readonly #names: readonly string[];
  readonly #needs: readonly (Need | undefined)[];
  readonly #lines: string[] = [];
  /** Instructions whose elements stand in arrays `a…`. */
  readonly #stored = new Set<number>();

  constructor(program: Program) {
    this.#program = program;
    this.#names = bufferNames(program);
    this.#needs = needsOf(program);
  }

  text(): string {
    const { instructions, outputs } = this.#program;
    this.#lines.push(`'use strict';`, 'const f = Math.fround;');
    this.#names.forEach((_, i) => this.#lines.push(`const array${i} = arrays[${i}];`));
    instructions.forEach(({ type }, i) => {
      if (type.place === 'host') this.#lines.push(`const v${i} = f(scalars[${i}]);`);
    });
    instructions.forEach((instruction, i) => {
      if (instruction.form !== 'input' || instruction.type.place === 'host') return;
      if (instruction.type.shape === 'number') {
        this.#lines.push(`const v${i} = array${this.#names.indexOf(instruction.name)}[0];`);
      }
    });
    for (const barriers of barrierLevels(this.#program)) this.#emitBarriers(barriers);
    this.#emitOutputs(Object.entries(outputs));
    return this.#lines.join('\n');
  }

  #emitBarriers(indices: readonly number[]): void {
    const { instructions } = this.#program;
    const pick = <F extends Instruction['form']>(form: F): [number, InstructionOf<F>][] =>
      indices.flatMap((index) => {
        const instruction = instructions[index];
        return instruction.form === form
          ? [[index, instruction as InstructionOf<F>] as [number, InstructionOf<F>]]
          : [];
      });
    for (const [index, { distribution, stream, args }] of pick('random')) {
      const [seed, key, step] = args.map((arg) => `scalars[${arg}]`);
      this.#lines.push(
        `const a${index} = support.fillRandom('${distribution}', ${seed}, ${key}, ${step}, ${stream}, n);`,
      );
      this.#stored.add(index);
    }
    const operands = [...pick('matMul'), ...pick('transpose'), ...pick('factor')].flatMap(([, { args }]) => args);
    const along = pick('reduce').filter(([, { over }]) => over !== 'all');
    this.#store([...operands, ...along.map(([, { args }]) => args[0])]);
    for (const [index, { args }] of pick('matMul')) {
      const [rows, inner] = this.#dims(args[0]);
      const [, cols] = this.#dims(args[1]);
      const product = `support.matMul(${this.#array(args[0])}, ${this.#array(args[1])}, ${rows}, ${inner}, ${cols})`;
      this.#lines.push(`const a${index} = ${this.#ifNeeded(index, product, `${rows} * ${cols}`)};`);
      this.#stored.add(index);
    }
    for (const [index, { args }] of pick('transpose')) {
      const [rows, cols] = this.#dims(args[0]);
      this.#lines.push(`const a${index} = support.transposed(${this.#array(args[0])}, ${rows}, ${cols});`);
      this.#stored.add(index);
    }
    for (const [index, { args }] of pick('factor')) {
      const [rows, cols] = this.#dims(index);
      const factor = `Float32Array.from(instructions[${index}].compute(${this.#array(args[0])}, ${rows}, ${cols}))`;
      this.#lines.push(`const a${index} = ${this.#ifNeeded(index, factor, `${rows} * ${cols}`)};`);
      this.#stored.add(index);
    }
    for (const [index, instruction] of along) this.#reduceAlong(index, instruction);
    this.#reduceAll(pick('reduce').filter(([, { over }]) => over === 'all'));
  }

  /** An expression for an instruction's array, or for zeros that nobody looks at. */
  #ifNeeded(index: number, array: string, length: string): string {
    const need = this.#needs[index];
    if (need === undefined) return array;
    return `v${need.condition} ${need.is ? '!==' : '==='} 0 ? ${array} : new Float32Array(${length})`;
  }

  /** Reductions of one round share a loop, block by block, in the order that `reduceInOrder` prescribes. */
  #reduceAll(reductions: readonly [number, InstructionOf<'reduce'>][]): void {
    const bySpace = groupBy(reductions, ([, { args }]) => this.#space([args[0]]));
    for (const [space, list] of bySpace) {
      const start = ({ op }: InstructionOf<'reduce'>): string => (op === 'largest' ? '-Infinity' : '0');
      const size = space === 'flat' ? 'n' : space;
      this.#lines.push(
        `{`,
        ...list.map(([index]) => `var blocks${index} = [];`),
        `for (let first = 0; first < ${size}; first += ${REDUCTION_BLOCK}) {`,
        `const end = Math.min(first + ${REDUCTION_BLOCK}, ${size});`,
        ...list.map(([index, i]) => `let ${[0, 1, 2, 3].map((lane) => `l${index}_${lane} = ${start(i)}`).join(', ')};`),
        `for (let i = first; i < end; i++) {`,
        ...this.#elementLines(
          list.map(([, { args }]) => args[0]),
          space,
        ),
        'switch (i & 3) {',
        ...[0, 1, 2, 3].map((lane) => {
          const steps = list.map(([index, { op, args }]) =>
            combine[op](`l${index}_${lane}`, this.#element(args[0], space)),
          );
          return `case ${lane}: ${steps.join('; ')}; break;`;
        }),
        '}',
        '}',
        ...list.map(([index, { op }]) => {
          const lanes = [0, 1, 2, 3].map((lane) => `l${index}_${lane}`);
          const joined =
            op === 'largest'
              ? `Math.max(${lanes.join(', ')})`
              : `(${lanes[0]} + ${lanes[1]}) + (${lanes[2]} + ${lanes[3]})`;
          return `blocks${index}.push(${joined});`;
        }),
        '}',
        '}',
        ...list.map(
          ([index, { op }]) =>
            `const v${index} = f(${finish[op](`support.pairwise(blocks${index}, ${String(op === 'largest')})`, size)});`,
        ),
      );
    }
  }

  #reduceAlong(index: number, { op, over, args }: InstructionOf<'reduce'>): void {
    const [rows, cols] = this.#dims(args[0]);
    const x = this.#array(args[0]);
    const [outer, inner, at] = over === 'cols' ? [rows, cols, `o * ${cols} + i`] : [cols, rows, `i * ${cols} + o`];
    const start = op === 'largest' ? '-Infinity' : '0';
    const isLargest = String(op === 'largest');
    this.#lines.push(
      `const a${index} = new Float32Array(${outer});`,
      `for (let o = 0; o < ${outer}; o++) {`,
      `const blocks = [], lanes = [0, 0, 0, 0];`,
      `for (let first = 0; first < ${inner}; first += ${REDUCTION_BLOCK}) {`,
      `const end = Math.min(first + ${REDUCTION_BLOCK}, ${inner});`,
      `lanes.fill(${start});`,
      `for (let i = first; i < end; i++) { const x = ${x}[${at}]; ${combine[op]('lanes[i & 3]', 'x')}; }`,
      `blocks.push(support.pairwise(lanes.slice(), ${isLargest}));`,
      '}',
      `a${index}[o] = ${finish[op](`support.pairwise(blocks, ${isLargest})`, inner)};`,
      '}',
    );
    this.#stored.add(index);
  }

  #emitOutputs(outputs: readonly [string, number][]): void {
    const bySpace = groupBy(outputs, ([, index]) => this.#space([index]));
    const later: string[] = [];
    for (const [space, list] of bySpace) {
      const at = ([name]: readonly [string, number]): number => this.#names.indexOf(name);
      // Outputs may trade places with each other: all are read before any is written.
      const results = [
        ...this.#elementLines(
          list.map(([, index]) => index),
          space,
        ),
        ...list.map((output) => `const o${at(output)} = ${this.#element(output[1], space)};`),
      ];
      if (space === '1') {
        // Numbers wait until every loop has read the old ones.
        this.#lines.push(...results);
        later.push(...list.map((output) => numberLine(output[0], `array${at(output)}[0]`, `o${at(output)}`)));
        continue;
      }
      const apart = bySpace.size > 1;
      if (apart) {
        for (const output of list) {
          this.#lines.push(`const out${at(output)} = new Float32Array(array${at(output)}.length);`);
          later.push(`array${at(output)}.set(out${at(output)});`);
        }
      }
      const target = apart ? 'out' : 'array';
      this.#loop(space, [...results, ...list.map((output) => `${target}${at(output)}[i] = o${at(output)};`)]);
    }
    this.#lines.push(...later);
  }

  /** Gives these instructions arrays, unless they have them. */
  #store(indices: readonly number[]): void {
    for (const index of new Set(indices)) {
      if (this.#stored.has(index) || this.#source(index) !== undefined) continue;
      const space = this.#space([index]);
      this.#lines.push(`const a${index} = new Float32Array(${space === 'flat' ? 'n' : space});`);
      this.#loop(space, [...this.#elementLines([index], space), `a${index}[i] = ${this.#element(index, space)};`]);
      this.#stored.add(index);
    }
  }

  #loop(space: string, body: readonly string[]): void {
    this.#lines.push(`for (let i = 0; i < ${space === 'flat' ? 'n' : space}; i++) {`, ...body, '}');
  }

  /** The array in which an instruction's elements stand, if they do. */
  #array(index: number): string {
    return this.#source(index) ?? `a${index}`;
  }

  #source(index: number): string | undefined {
    const instruction = this.#program.instructions[index];
    if (this.#stored.has(index)) return `a${index}`;
    if (instruction.form === 'view') return this.#source(instruction.args[0]);
    if (instruction.form === 'input' && instruction.type.place === 'device') {
      return `array${this.#names.indexOf(instruction.name)}`;
    }
    return undefined;
  }

  /** The iteration space of values: `flat` over the parameter, a product of extents, or `1`. */
  #space(indices: readonly number[]): string {
    const shape = indices.map((index) => this.#program.instructions[index].type.shape).find((s) => s !== 'number');
    return spaceOf(shape ?? 'number');
  }

  #dims(index: number): [string, string] {
    const { shape } = this.#program.instructions[index].type;
    if (typeof shape === 'string') throw new Error('a matrix is expected');
    return [extentText(shape[0]), extentText(shape[1])];
  }

  /** How the element of an instruction is written inside a loop over `space`. */
  #element(index: number, space: string): string {
    const instruction = this.#program.instructions[index];
    const { type } = instruction;
    const array = this.#source(index);
    if (type.place === 'host' || type.shape === 'number' || array === undefined) return `v${index}`;
    return `${array}[${this.#position(type.shape, space)}]`;
  }

  /** Where, in a loop over `space`, the element of a value of `shape` stands. */
  #position(shape: Shape, space: string): string {
    if (typeof shape === 'string' || spaceOf(shape) === space) return 'i';
    const width = space === 'flat' ? 'cols' : (space.split(' * ')[1] ?? '1');
    const [rows, cols] = shape;
    if (rows === 1) return cols === 1 ? '0' : `i % ${width}`;
    return `Math.floor(i / ${width})`;
  }

  /** The elementwise instructions that `roots` need; each loop computes its own, which is cheaper than storing them. */
  #elementLines(roots: readonly number[], space: string): string[] {
    const { instructions } = this.#program;
    const needed = new Set<number>();
    const require = (index: number): void => {
      const instruction = instructions[index];
      if (needed.has(index) || instruction.type.place === 'host' || this.#source(index) !== undefined) return;
      if (instruction.form === 'reduce' && instruction.over === 'all') return;
      needed.add(index);
      if ('args' in instruction) instruction.args.forEach(require);
    };
    roots.forEach(require);
    return [...needed].sort((a, b) => a - b).map((index) => `const v${index} = ${this.#line(index, space)};`);
  }

  #line(index: number, space: string): string {
    const instruction = this.#program.instructions[index];
    const args = 'args' in instruction ? instruction.args.map((arg) => this.#element(arg, space)) : [];
    switch (instruction.form) {
      case 'elementwise':
        return templates[instruction.op](args[0], args[1], args[2]);
      case 'view':
      case 'broadcast':
        return args[0];
      case 'cast':
        return `support.${instruction.to.name}.round(${args[0]})`;
      case 'index':
        return this.#position(instruction.type.shape, space);
      default:
        throw new Error(`${instruction.form} is no element of a loop`);
    }
  }
}

/** Writes a number, or takes it into a total. */
function numberLine(output: string, target: string, value: string): string {
  if (!isTotal(output)) return `${target} = ${value};`;
  return output.startsWith('sum.') ? `${target} += ${value};` : `${target} = Math.max(${target}, ${value});`;
}

function groupBy<T>(items: readonly T[], key: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) groups.set(key(item), [...(groups.get(key(item)) ?? []), item]);
  return groups;
}

function spaceOf(shape: Shape): string {
  if (shape === 'number') return '1';
  if (shape === 'param' || (shape[0] === 'rows' && shape[1] === 'cols')) return 'flat';
  const extents = shape.filter((extent) => extent !== 1);
  if (extents.length === 0) return '1';
  return shape.map(extentText).join(' * ');
}

function extentText(extent: Extent): string {
  const rank = rankOf(extent);
  return rank === undefined ? String(extent) : `Math.min(${rank}, rows, cols)`;
}

/** Sums in float32 in order of the inner index, row by row so that memory is read in order. */
function matMul(a: FloatArray, b: FloatArray, rows: number, inner: number, cols: number): Float32Array {
  const result = new Float32Array(rows * cols);
  for (let row = 0; row < rows; row++) {
    const to = row * cols;
    for (let k = 0; k < inner; k++) {
      const factor = a[row * inner + k];
      const from = k * cols;
      for (let col = 0; col < cols; col++) {
        result[to + col] = Math.fround(result[to + col] + Math.fround(factor * b[from + col]));
      }
    }
  }
  return result;
}

function transposed(x: FloatArray, rows: number, cols: number): Float32Array {
  const result = new Float32Array(rows * cols);
  for (let row = 0; row < rows; row++) {
    for (let col = 0; col < cols; col++) result[col * rows + row] = x[row * cols + col];
  }
  return result;
}

/** Combines partial results neighbour with neighbour, round by round. */
function pairwise(values: number[], largest: boolean): number {
  if (values.length === 0) return largest ? -Infinity : 0;
  let list = values;
  while (list.length > 1) {
    const pairs: number[] = [];
    for (let i = 0; i < list.length; i += 2) {
      if (i + 1 === list.length) pairs.push(list[i]);
      else pairs.push(largest ? Math.max(list[i], list[i + 1]) : list[i] + list[i + 1]);
    }
    list = pairs;
  }
  return list[0];
}
