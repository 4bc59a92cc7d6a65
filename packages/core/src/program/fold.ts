import type { Instruction, Program } from './program.js';

/** A kind of instruction, by the name of its form. */
export type InstructionOf<F extends Instruction['form']> = Extract<Instruction, { readonly form: F }>;

/**
 * What a backend is: for every form of instruction, how to make a value of it from the values of its operands. The table
 * must be complete, so a form that is added to the language is a compile error in every backend that lacks it.
 */
export type Algebra<V> = {
  readonly [F in Instruction['form']]: (instruction: InstructionOf<F>, args: readonly V[], index: number) => V;
};

/**
 * Walks a program in order. The one place that knows how instructions refer to each other.
 *
 * @param known gives values that are known beforehand, or that nothing looks at, and need not be made. Default: none are
 */
export function foldProgram<V>(
  program: Program,
  algebra: Algebra<V>,
  known: (instruction: Instruction, index: number) => V | undefined = () => undefined,
): V[] {
  const values: V[] = [];
  for (const [index, instruction] of program.instructions.entries()) {
    const args = 'args' in instruction ? instruction.args.map((arg) => values[arg]) : [];
    const make = algebra[instruction.form] as (instruction: Instruction, args: readonly V[], index: number) => V;
    values.push(known(instruction, index) ?? make(instruction, args, index));
  }
  return values;
}
