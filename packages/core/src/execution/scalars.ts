import { isReduction, operation } from '../expression/operations.js';
import type { HyperparameterValues } from '../optimizer/hyperparameters.js';
import type { Program } from '../program/program.js';

/** What scalar instructions read. */
export interface ScalarInputs {
  /** Number of the step, counted from 1. */
  readonly step: number;
  readonly hyper: HyperparameterValues;
  readonly initial: HyperparameterValues;
}

/** Evaluates the scalar instructions of a program in float64; the other entries of the result are NaN. */
export function evaluateScalars(program: Program, inputs: ScalarInputs): Float64Array {
  const values = new Float64Array(program.instructions.length).fill(NaN);
  for (const [index, instruction] of program.instructions.entries()) {
    if (instruction.kind !== 'scalar') continue;
    if (instruction.op === 'constant') {
      values[index] = instruction.value;
    } else if (instruction.op === 'input') {
      values[index] = scalarInput(instruction.name, inputs);
    } else if (!isReduction(instruction.op)) {
      const [a, b, c] = instruction.args;
      values[index] = operation(instruction.op).evaluate(values[a], values[b], values[c]);
    }
  }
  return values;
}

function scalarInput(name: string, { step, hyper, initial }: ScalarInputs): number {
  if (name === 'step') return step;
  const [source, key] = name.split('.', 2);
  return Number((source === 'hyper' ? hyper : initial)[key]);
}
