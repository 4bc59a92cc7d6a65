import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js';
import type { ExpressionNode, InputName, Kind } from '../expression/expression.js';
import type { OperationName, ReductionName } from '../expression/operations.js';

/** One line of a program; `args` are the indices of earlier instructions. */
export type Instruction =
  | { readonly op: 'constant'; readonly kind: 'scalar'; readonly value: number }
  | { readonly op: 'input'; readonly kind: Kind; readonly name: InputName }
  | { readonly op: OperationName | ReductionName; readonly kind: Kind; readonly args: readonly number[] };

/** A slot of an optimizer: one tensor of the parameter's shape, kept between steps. */
export interface Slot<Name extends string = string> {
  readonly name: Name;
  /** The value of every element before the first step. */
  readonly initial: number;
}

/**
 * An update rule as data: a straight-line program over one parameter, its gradient, its slots and a few scalars.
 * Plain JSON; the same rule and structure always give the same hash.
 */
export interface Program {
  /** The optimizer it came from, for people; not part of the hash. */
  readonly optimizer: string;
  /** In order of evaluation, without duplicates or dead instructions. */
  readonly instructions: readonly Instruction[];
  readonly slots: readonly Slot[];
  /** Which instruction gives the new parameter, and which the new value of each slot (in the order of `slots`). */
  readonly outputs: { readonly param: number; readonly slots: readonly number[] };
  /** SHA-256 of the content, the first 128 bits in hexadecimal. */
  readonly hash: string;
}

/** Linearizes expressions into a program: equal subexpressions are computed once, unused ones not at all. */
export function buildProgram(
  optimizer: string,
  slots: readonly Slot[],
  outputs: { readonly param: ExpressionNode; readonly slots: readonly ExpressionNode[] },
): Program {
  const instructions: Instruction[] = [];
  const indexByKey = new Map<string, number>();
  const indexByNode = new Map<ExpressionNode, number>();

  const visit = (node: ExpressionNode): number => {
    const seen = indexByNode.get(node);
    if (seen !== undefined) return seen;
    const instruction: Instruction = 'args' in node ? { ...node, args: node.args.map(visit) } : node;
    const key = contentKey(instruction);
    let index = indexByKey.get(key);
    if (index === undefined) {
      index = instructions.push(instruction) - 1;
      indexByKey.set(key, index);
    }
    indexByNode.set(node, index);
    return index;
  };

  const indices = { param: visit(outputs.param), slots: outputs.slots.map(visit) };
  const content = { instructions: instructions.map(contentKey), slots, outputs: indices };
  const hash = bytesToHex(sha256(utf8ToBytes(JSON.stringify(content)))).slice(0, 32);
  return { optimizer, instructions, slots, outputs: indices, hash };
}

function contentKey(instruction: Instruction): string {
  if (instruction.op === 'constant') return `constant ${constantText(instruction.value)}`;
  if (instruction.op === 'input') return `input ${instruction.kind} ${instruction.name}`;
  return `${instruction.op} ${instruction.args.join(' ')}`;
}

/** Shortest round-trip decimals keep every bit; −0, infinities and NaN, which JSON loses, are spelled out. */
export function constantText(value: number): string {
  return Object.is(value, -0) ? '-0' : String(value);
}

/** The scalars that tensor instructions and outputs read: all that a device needs from the host for a step. */
export function scalarOperands(program: Program): readonly number[] {
  const needed = new Set<number>();
  const require = (index: number): void => {
    if (program.instructions[index].kind === 'scalar') needed.add(index);
  };
  for (const instruction of program.instructions) {
    if ('args' in instruction && instruction.kind !== 'scalar') instruction.args.forEach(require);
  }
  [program.outputs.param, ...program.outputs.slots].forEach(require);
  return [...needed].sort((a, b) => a - b);
}
