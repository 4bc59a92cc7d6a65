import { operation } from '../expression/operations.js';
import type { Program } from './program.js';

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
  const { instructions } = program;
  for (let index = 0; index < instructions.length; index++) {
    const instruction = instructions[index];
    if (instruction.type.place === 'device') continue;
    if (instruction.form === 'constant') values[index] = instruction.value;
    else if (instruction.form === 'input') values[index] = input(instruction.name);
    else if (instruction.form === 'elementwise') {
      // To ask an array for a place that is none takes long; no operation looks at operands that it does not have.
      const [a, b = a, c = a] = instruction.args;
      values[index] = operation(instruction.op).evaluate(values[a], values[b], values[c]);
    }
  }
  return values;
}
