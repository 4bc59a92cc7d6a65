import { operation, reduceInOrder } from '../../expression/operations.js';
import { concreteShape } from '../../expression/extents.js';
import type { Extents, Shape } from '../../expression/type.js';
import { foldProgram, type Algebra } from '../../program/fold.js';
import { neededWith } from '../../program/needs.js';
import type { Program } from '../../program/program.js';
import { elementCount, type FloatArray, type Precision } from '../../tensor/tensor-data.js';

/** A value in the interpreter: its elements and how a pair of row and column, or a position, finds one. */
interface Value {
  readonly data: FloatArray;
  readonly shape: Shape;
}

/**
 * Runs a program by walking it, an array for every instruction: slow, plain, the meaning of a program.
 *
 * @param inputs the elements of every device input
 * @param scalars one number for every instruction, from `evaluateScalars`
 * @returns the elements of every output; nothing is modified
 */
export function interpret(
  program: Program,
  inputs: Readonly<Record<string, FloatArray>>,
  scalars: Float64Array,
  where: { readonly shape: readonly number[]; readonly extents: Extents },
  precision: Precision,
): Record<string, FloatArray> {
  const round = precision === 'float32' ? Math.fround : (x: number) => x;
  const make = (length: number): FloatArray =>
    precision === 'float32' ? new Float32Array(length) : new Float64Array(length);
  const dims = (shape: Shape): readonly number[] => concreteShape(shape, where.shape, where.extents);
  const length = (shape: Shape): number => elementCount(dims(shape));
  /** Reads a value where an element of `shape` is wanted. */
  const reader = ({ data, shape }: Value, as: Shape): ((i: number) => number) => {
    if (data.length === 1 || shape === 'number') return () => data[0];
    if (typeof shape === 'string' || typeof as === 'string') return (i) => data[i];
    const [rows, cols] = dims(shape);
    const [, width] = dims(as);
    return (i) => data[(rows === 1 ? 0 : Math.floor(i / width)) * cols + (cols === 1 ? 0 : i % width)];
  };
  const generate = (shape: Shape, element: (i: number) => number): Value => {
    const data = make(length(shape));
    for (let i = 0; i < data.length; i++) data[i] = element(i);
    return { data, shape };
  };
  /** Scalars meet tensors in the tensors' precision (0 and 1, the outcomes of comparisons, are exact in both). */
  const host = (index: number): Value => ({ data: Float64Array.of(round(scalars[index])), shape: 'number' });

  const needed = neededWith(program, scalars);
  const algebra: Algebra<Value> = {
    constant: (_, __, index) => host(index),
    input: ({ name, type }, _, index) =>
      type.place === 'host' ? host(index) : { data: inputs[name], shape: type.shape },
    elementwise({ op, type }, args, index) {
      if (type.place === 'host') return host(index);
      const { evaluate } = operation(op);
      const [a, b = unused, c = unused] = args.map((arg) => reader(arg, type.shape));
      return generate(type.shape, (i) => evaluate(a(i), b(i), c(i)));
    },
    reduce({ op, over, type }, [x]) {
      if (over === 'all') {
        return generate('number', () => reduceInOrder(op, x.data.length, (i) => x.data[i]));
      }
      const [rows, cols] = dims(x.shape);
      return over === 'cols'
        ? generate(type.shape, (row) => reduceInOrder(op, cols, (col) => x.data[row * cols + col]))
        : generate(type.shape, (col) => reduceInOrder(op, rows, (row) => x.data[row * cols + col]));
    },
    matMul({ type }, [a, b]) {
      const [, inner] = dims(a.shape);
      const [, cols] = dims(type.shape);
      return generate(type.shape, (i) => {
        const [row, col] = [Math.floor(i / cols), i % cols];
        let total = 0;
        for (let k = 0; k < inner; k++) total = round(total + round(a.data[row * inner + k] * b.data[k * cols + col]));
        return total;
      });
    },
    transpose({ type }, [x]) {
      const [rows, cols] = dims(type.shape);
      return generate(type.shape, (i) => x.data[(i % cols) * rows + Math.floor(i / cols)]);
    },
    factor({ type, compute }, [x]) {
      const [rows, cols] = dims(type.shape);
      const factor = compute(x.data, rows, cols);
      return generate(type.shape, (i) => factor[i]);
    },
    view: ({ type }, [x]) => ({ data: x.data, shape: type.shape }),
    broadcast: ({ type }, [x]) => generate(type.shape, reader(x, type.shape)),
    cast: ({ type, to }, [x]) => generate(type.shape, (i) => to.round(x.data[i])),
    random({ distribution, stream, draw, args, type }) {
      const [seed, key, step] = args.map((arg) => scalars[arg]);
      const data = make(length(type.shape));
      draw(distribution, { seed, key, step, stream }, data);
      return { data, shape: type.shape };
    },
    index: ({ type }) => generate(type.shape, (i) => i),
  };
  const nothing = make(0);
  const values = foldProgram<Value>(program, algebra, ({ type }, index) =>
    needed.has(index) ? undefined : { data: nothing, shape: type.shape },
  );

  return Object.fromEntries(Object.entries(program.outputs).map(([name, index]) => [name, values[index].data.slice()]));
}

/** Operations ignore operands beyond their own. */
function unused(): number {
  return NaN;
}
