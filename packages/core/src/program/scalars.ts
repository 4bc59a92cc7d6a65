import { operation } from '../expression/operations.js';
import type { Instruction, Program } from './program.js';

/** Gives the value of a scalar input such as `step` or `hyper.lr`. */
export type ScalarInput = (name: string) => number;

/**
 * Evaluates the host part of a program in float64. One number for every instruction; device instructions hold NaN.
 *
 * @param values reused when given
 */
export function evaluateScalars(
  program: Program,
  input: ScalarInput,
  values: Float64Array = new Float64Array(program.instructions.length).fill(NaN),
): Float64Array {
  for (const line of hostLines(program)) line(values, input);
  return values;
}

/** Puts the number of one instruction in its place. */
type Line = (values: Float64Array, input: ScalarInput) => void;

/** Of programs that have been evaluated: a step does so again and again. */
const known = new WeakMap<Program, readonly Line[]>();

function hostLines(program: Program): readonly Line[] {
  let lines = known.get(program);
  if (lines === undefined) known.set(program, (lines = program.instructions.flatMap(hostLine)));
  return lines;
}

function hostLine(instruction: Instruction, index: number): Line[] {
  if (instruction.type.place === 'device') return [];
  switch (instruction.form) {
    case 'constant':
      return [(values) => void (values[index] = instruction.value)];
    case 'input':
      return [(values, input) => void (values[index] = input(instruction.name))];
    case 'elementwise': {
      const { evaluate } = operation(instruction.op);
      // An operation looks at no more operands than it has; to ask an array for none of its places takes long.
      const [a, b = a, c = a] = instruction.args;
      return [(values) => void (values[index] = evaluate(values[a], values[b], values[c]))];
    }
    default:
      return [];
  }
}
