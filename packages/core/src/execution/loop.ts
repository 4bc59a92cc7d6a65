import { isReduction, type OperationName } from '../expression/operations.js';
import type { Instruction, Program } from '../program/program.js';
import type { FloatArray, Precision, UpdateArrays } from './interpreter.js';

/** Updates `param` and `slots` in place; `scalars` as from `Optimizer.scalars`. The gradient is only read. */
export type UpdateLoop<A extends FloatArray = FloatArray> = (arrays: UpdateArrays<A>, scalars: Float64Array) => void;

/**
 * Compiles a program to one JavaScript loop over all elements (one more per level of reductions), without temporary
 * arrays. In `float32` every operation is rounded with Math.fround, which engines turn into float32 arithmetic; the
 * result equals the interpreter's bit for bit.
 *
 * Needs `new Function`: where a content security policy forbids it, use the interpreter.
 */
export function compileLoop(program: Program, precision: 'float32'): UpdateLoop<Float32Array>;
export function compileLoop(program: Program, precision: 'float64'): UpdateLoop<Float64Array>;
export function compileLoop(program: Program, precision: Precision): UpdateLoop {
  // The source is built from this program's operations and numbered variables alone: no text from outside enters it.
  // eslint-disable-next-line @typescript-eslint/no-implied-eval
  return new Function('arrays', 'scalars', loopSource(program, precision)) as UpdateLoop;
}

/** JavaScript for one operation on operand expressions; `f` rounds. Comparisons yield booleans, which only `where` reads. */
const templates: Record<OperationName, (a: string, b: string, c: string) => string> = {
  add: (a, b) => `f(${a} + ${b})`,
  sub: (a, b) => `f(${a} - ${b})`,
  mul: (a, b) => `f(${a} * ${b})`,
  div: (a, b) => `f(${a} / ${b})`,
  pow: (a, b) => `f(Math.pow(${a}, ${b}))`,
  min: (a, b) => `f(Math.min(${a}, ${b}))`,
  max: (a, b) => `f(Math.max(${a}, ${b}))`,
  neg: (a) => `-${a}`,
  abs: (a) => `f(Math.abs(${a}))`,
  sign: (a) => `Math.sign(${a})`,
  square: (a) => `f(${a} * ${a})`,
  sqrt: (a) => `f(Math.sqrt(${a}))`,
  exp: (a) => `f(Math.exp(${a}))`,
  log: (a) => `f(Math.log(${a}))`,
  equal: (a, b) => `${a} === ${b}`,
  less: (a, b) => `${a} < ${b}`,
  lessOrEqual: (a, b) => `${a} <= ${b}`,
  greater: (a, b) => `${a} > ${b}`,
  greaterOrEqual: (a, b) => `${a} >= ${b}`,
  where: (a, b, c) => `(${a} ? ${b} : ${c})`,
};

/** The loop's JavaScript; `v12` is instruction 12. */
export function loopSource(program: Program, precision: Precision): string {
  const { instructions, outputs, slots } = program;
  const f = precision === 'float32' ? (code: string) => code.replaceAll('f(', 'Math.fround(') : unrounded;
  const slotIndex = new Map(slots.map((slot, i) => [`slot.${slot.name}`, i]));
  const level = reductionLevels(instructions);
  const lastLevel = Math.max(0, ...level);

  const load = (name: string): string => {
    const slot = slotIndex.get(name);
    return slot === undefined ? `${name}[i]` : `slot${slot}[i]`;
  };
  const line = (index: number): string => {
    const instruction = instructions[index];
    if (instruction.op === 'input') return `const v${index} = ${load(instruction.name)};`;
    if (instruction.op === 'constant' || isReduction(instruction.op)) return '';
    const [a, b, c] = instruction.args.map((arg) => `v${arg}`);
    return `const v${index} = ${f(templates[instruction.op](a, b, c))};`;
  };
  /** The tensor instructions that `roots` need; each loop computes its own, which is cheaper than storing them. */
  const tensorLines = (roots: readonly number[]): string[] => {
    const needed = new Set<number>();
    const require = (index: number): void => {
      const instruction = instructions[index];
      if (instruction.kind !== 'tensor' || needed.has(index)) return;
      needed.add(index);
      if ('args' in instruction) instruction.args.forEach(require);
    };
    roots.forEach(require);
    return [...needed].sort((a, b) => a - b).map(line);
  };
  const loop = (body: readonly string[]): string => `for (let i = 0; i < n; i++) {\n${body.join('\n')}\n}`;

  const code = [
    `'use strict';`,
    `const { param, grad, slots } = arrays, n = param.length;`,
    ...slots.map((_, i) => `const slot${i} = slots[${i}];`),
    ...instructions.flatMap(({ kind }, i) => (kind === 'scalar' ? [`const v${i} = ${f(`f(scalars[${i}])`)};`] : [])),
  ];
  for (let current = 0; current <= lastLevel; current++) {
    const statistics = instructions.flatMap((instruction, index) =>
      instruction.kind === 'statistic' && level[index] === current ? [index] : [],
    );
    const reduced = statistics.flatMap((index) => {
      const instruction = instructions[index];
      return isReduction(instruction.op) && 'args' in instruction
        ? [{ index, op: instruction.op, arg: instruction.args[0] }]
        : [];
    });
    if (reduced.length > 0) {
      code.push(
        ...reduced.map(({ index }) => `let total${index} = 0;`),
        loop([
          ...tensorLines(reduced.map(({ arg }) => arg)),
          ...reduced.map(
            ({ index, op, arg }) => `total${index} += ${op === 'norm' ? `v${arg} * v${arg}` : `v${arg}`};`,
          ),
        ]),
        ...reduced.map(({ index, op }) => `const v${index} = ${f(`f(${finish[op](`total${index}`)})`)};`),
      );
    }
    code.push(...statistics.map(line));
  }
  const targets = [['param', outputs.param] as const, ...outputs.slots.map((v, i) => [`slot${i}`, v] as const)];
  code.push(loop([...tensorLines(targets.map(([, v]) => v)), ...targets.map(([name, v]) => `${name}[i] = v${v};`)]));
  return code.filter((text) => text !== '').join('\n');
}

const finish = {
  sum: (total: string) => total,
  mean: (total: string) => `${total} / n`,
  norm: (total: string) => `Math.sqrt(${total})`,
} as const;

/** Drops the rounding calls: `f(x)` becomes `(x)`. */
function unrounded(code: string): string {
  return code.startsWith('f(') ? code.slice(1) : code;
}

/** How many rounds of reductions an instruction waits for: a reduction is one level above its argument. */
function reductionLevels(instructions: readonly Instruction[]): number[] {
  const level: number[] = [];
  for (const instruction of instructions) {
    const below = 'args' in instruction ? Math.max(0, ...instruction.args.map((arg) => level[arg])) : 0;
    level.push(isReduction(instruction.op) ? below + 1 : below);
  }
  return level;
}
