import { isReduction, operation, reduction } from '../expression/operations.js';
import type { Program } from '../program/program.js';

/** `float64` is the reference; `float32` rounds after every tensor operation, as a device does. */
export type Precision = 'float32' | 'float64';
export type FloatArray = Float32Array | Float64Array;

/** One parameter with its gradient and slots (in the order of `program.slots`), all of the same length. */
export interface UpdateArrays<A extends FloatArray = FloatArray> {
  readonly param: A;
  readonly grad: A;
  readonly slots: readonly A[];
}

/**
 * Runs one update by walking the program, an array per instruction: slow, plain, the meaning of a program.
 * Sums accumulate in float64. Nothing is modified; the new parameter and slots are returned.
 *
 * @param scalars from {@link evaluateScalars} or `Optimizer.scalars`
 */
export function interpret(
  program: Program,
  arrays: UpdateArrays,
  scalars: Float64Array,
  precision: Precision,
): { param: FloatArray; slots: FloatArray[] } {
  const round = precision === 'float32' ? Math.fround : (x: number) => x;
  const length = arrays.param.length;
  const make = (size: number): FloatArray =>
    precision === 'float32' ? new Float32Array(size) : new Float64Array(size);
  const slotIndex = new Map(program.slots.map((slot, i) => [`slot.${slot.name}`, i]));

  const values: FloatArray[] = [];
  for (const [index, instruction] of program.instructions.entries()) {
    if (instruction.kind === 'scalar') {
      values.push(Float64Array.of(scalars[index]));
    } else if (instruction.op === 'input') {
      const slot = slotIndex.get(instruction.name);
      values.push(slot === undefined ? arrays[instruction.name as 'param' | 'grad'] : arrays.slots[slot]);
    } else if (isReduction(instruction.op)) {
      const { term, finish } = reduction(instruction.op);
      const source = values[instruction.args[0]];
      let total = 0;
      for (const x of source) total += term(x);
      const result = make(1);
      result[0] = finish(total, source.length);
      values.push(result);
    } else {
      const { evaluate } = operation(instruction.op);
      // Scalars meet tensors in the tensors' precision (0 and 1, the outcomes of comparisons, are exact in both).
      const [a, b = unused, c = unused] = instruction.args.map((arg): ((i: number) => number) => {
        const array = values[arg];
        if (program.instructions[arg].kind === 'tensor') return (i) => array[i];
        const value = round(array[0]);
        return () => value;
      });
      const result = make(instruction.kind === 'tensor' ? length : 1);
      for (let i = 0; i < result.length; i++) result[i] = evaluate(a(i), b(i), c(i));
      values.push(result);
    }
  }
  const output = (index: number): FloatArray =>
    program.instructions[index].kind === 'tensor' ? values[index].slice() : make(length).fill(values[index][0]);
  return { param: output(program.outputs.param), slots: program.outputs.slots.map(output) };
}

/** Operations ignore operands beyond their arity. */
function unused(): number {
  return NaN;
}
