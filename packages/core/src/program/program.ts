import type { ExpressionNode, ExpressionNodeReference, Form } from '../expression/expression.js';
import { shapeText, type ValueType } from '../expression/type.js';
import { contentHash } from './hash.js';

/** One line of a program; `args` are the indices of earlier lines. */
export type Instruction = Form<number>;

/**
 * A rule as data: a straight-line program over one parameter with what belongs to it, and scalars. Plain data, but for the
 * function that draws random numbers, which an instruction carries so that others need not load it; the same
 * rule and structure always give the same hash.
 *
 * Inputs and outputs have names. `param`, `grad` and `slot.<name>` are the parameter's; `hyper.<name>`,
 * `initial.<name>`, `step` and `key` are scalars that the host gives; `global.<name>` are numbers that belong to all
 * parameters of a plan together. Outputs named `sum.<name>` and `largest.<name>` are numbers that the device combines
 * over all parameters.
 */
export interface Program {
  /** Where it came from, for people; not part of the hash. */
  readonly name: string;
  /** In order of evaluation, without duplicates or dead instructions. */
  readonly instructions: readonly Instruction[];
  /** Which instruction gives each output, in the order they were declared. */
  readonly outputs: Readonly<Record<string, number>>;
  /** Hash of the content, 128 bits in hexadecimal. */
  readonly hash: string;
}

/** Linearizes expressions into a program: equal subexpressions are computed once, unused ones not at all. */
export function buildProgram(name: string, outputs: Readonly<Record<string, ExpressionNodeReference>>): Program {
  const instructions: Instruction[] = [];
  const indexByKey = new Map<string, number>();
  const indexByNode = new Map<ExpressionNode, number>();
  const visit = ({ node }: ExpressionNodeReference): number => {
    const seen = indexByNode.get(node);
    if (seen !== undefined) return seen;
    const instruction = ('args' in node ? { ...node, args: node.args.map(visit) } : node) as Instruction;
    const key = contentKey(instruction);
    let index = indexByKey.get(key);
    if (index === undefined) {
      index = instructions.push(instruction) - 1;
      indexByKey.set(key, index);
    }
    indexByNode.set(node, index);
    return index;
  };
  const indices = Object.fromEntries(Object.entries(outputs).map(([key, value]) => [key, visit(value)]));
  const hash = contentHash(JSON.stringify({ instructions: instructions.map(contentKey), outputs: indices }));
  return { name, instructions, outputs: indices, hash };
}

function contentKey(instruction: Instruction): string {
  switch (instruction.form) {
    case 'constant':
      return `constant ${constantText(instruction.value)}`;
    case 'input':
      return `input ${typeText(instruction.type)} ${instruction.name}`;
    case 'index':
      return `index ${instruction.axis}`;
    default: {
      const { args, type, ...attributes } = instruction;
      // How random numbers are drawn is the same for all.
      const told = Object.values(attributes).filter((value) => typeof value !== 'function');
      return `${told.join(' ')} ${args.join(' ')} ${typeText(type)}`;
    }
  }
}

function typeText({ place, shape }: ValueType): string {
  return `${place} ${shapeText(shape)}`;
}

/** Shortest round-trip decimals keep every bit; −0 and infinities, which JSON loses, are spelled out. */
export function constantText(value: number): string {
  return Object.is(value, -0) ? '-0' : String(value);
}

/** The names that a program reads, in order of first use. */
export function inputNames(program: Program): string[] {
  return program.instructions.flatMap((instruction) => (instruction.form === 'input' ? [instruction.name] : []));
}

/** The scalars that device instructions and outputs read: all that a device needs from the host for a step. */
export function scalarOperands(program: Program): readonly number[] {
  const needed = new Set<number>();
  const require = (index: number): void => {
    if (program.instructions[index].type.place === 'host') needed.add(index);
  };
  for (const instruction of program.instructions) {
    if ('args' in instruction && instruction.type.place === 'device') instruction.args.forEach(require);
  }
  Object.values(program.outputs).forEach(require);
  return [...needed].sort((a, b) => a - b);
}
