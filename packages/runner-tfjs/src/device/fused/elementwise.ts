import {
  deviceInputs,
  foldProgram,
  isTotal,
  scalarOperands,
  type DeviceOperationName,
  type Program,
  type Shape,
} from '@adakit/core';

/** How a shading language writes the operations on vectors of elements. Comparisons give vectors of booleans. */
export interface Dialect {
  /** A declaration; `bool` for results of comparisons. */
  readonly declare: (name: string, value: string, bool: boolean) => string;
  /** A number in every lane. */
  readonly splat: (number: string) => string;
  /** Whether a number is not zero, in every lane. */
  readonly truth: (number: string) => string;
  readonly operations: Readonly<Record<DeviceOperationName, (a: string, b: string, c: string) => string>>;
}

/** What is written alike in GLSL and WGSL. `power`, `least`, `most` and `signOf` are functions that each defines. */
export const arithmetic = {
  add: (a: string, b: string) => `${a} + ${b}`,
  sub: (a: string, b: string) => `${a} - ${b}`,
  mul: (a: string, b: string) => `${a} * ${b}`,
  div: (a: string, b: string) => `${a} / ${b}`,
  pow: (a: string, b: string) => `power(${a}, ${b})`,
  min: (a: string, b: string) => `least(${a}, ${b})`,
  max: (a: string, b: string) => `most(${a}, ${b})`,
  neg: (a: string) => `-${a}`,
  abs: (a: string) => `abs(${a})`,
  sign: (a: string) => `signOf(${a})`,
  square: (a: string) => `${a} * ${a}`,
  sqrt: (a: string) => `sqrt(${a})`,
  exp: (a: string) => `exp(${a})`,
  log: (a: string) => `log(${a})`,
} satisfies Partial<Dialect['operations']>;

/** A program as the body of a shader that has one invocation for every vector of elements. */
export interface Shader {
  readonly lines: readonly string[];
  /** What each output is. */
  readonly results: Readonly<Record<string, string>>;
}

/** What a shader has to be given. */
export interface Signature {
  /** Device inputs of the parameter's shape. */
  readonly elements: readonly string[];
  /** Device inputs that are one number. */
  readonly numbers: readonly string[];
  readonly outputs: readonly string[];
  /** Instructions whose scalars it reads. */
  readonly scalars: readonly number[];
}

/**
 * What a program needs that computes every element from the elements at its place and from numbers alone.
 *
 * @throws Error that says why the program is none
 */
export function elementwiseSignature(program: Program): Signature {
  const { instructions, outputs } = program;
  const numbers: string[] = [];
  for (const { form, type, ...rest } of instructions) {
    if (type.place === 'host') continue;
    if (!['input', 'elementwise', 'view', 'broadcast'].includes(form)) throw new Error(`it has a ${form}`);
    if (type.shape !== 'number' && !isWhole(type.shape))
      throw new Error(`it has values that are ${String(type.shape)}`);
    if (form === 'input' && type.shape === 'number' && 'name' in rest) numbers.push(rest.name);
  }
  for (const [name, index] of Object.entries(outputs)) {
    if (isTotal(name) || !isWhole(instructions[index].type.shape)) throw new Error(`it gives a number, ${name}`);
  }
  return {
    elements: deviceInputs(program).filter((name) => !numbers.includes(name)),
    numbers,
    outputs: Object.keys(outputs),
    scalars: scalarOperands(program),
  };
}

/** Whether a value has an element for every element of the parameter, in its order. */
function isWhole(shape: Shape): boolean {
  return shape === 'param' || (typeof shape !== 'string' && shape[0] === 'rows' && shape[1] === 'cols');
}

/** A value of the program: a variable of the shader, or a number that it has been given. */
type Value = { readonly lanes: string } | { readonly number: string };

/**
 * Writes a program in a shading language.
 *
 * @param input the vector of an input's elements; of one number, that number in every lane
 * @param scalar the number that stands at this position of the signature's `scalars`
 */
export function writeShader(
  program: Program,
  { scalars }: Signature,
  dialect: Dialect,
  input: (name: string) => string,
  scalar: (position: number) => string,
): Shader {
  const lines: string[] = [];
  const lanes = (value: Value): string => ('lanes' in value ? value.lanes : dialect.splat(value.number));
  const declared = (index: number, text: string, bool = false): Value => {
    lines.push(dialect.declare(`v${String(index)}`, text, bool));
    return { lanes: `v${String(index)}` };
  };
  const host = (index: number): Value => ({ number: scalar(scalars.indexOf(index)) });
  const same = (_: unknown, [value]: readonly Value[]): Value => value;
  const refuse = ({ form }: { readonly form: string }): never => {
    throw new Error(`a ${form} is not elementwise`);
  };
  const values = foldProgram<Value>(program, {
    constant: (_, __, index) => host(index),
    input: ({ name, type }, _, index) => (type.place === 'host' ? host(index) : declared(index, input(name))),
    elementwise({ op, type }, args, index) {
      if (type.place === 'host') return host(index);
      const [a, b, c] = args.map((arg, i) =>
        op === 'where' && i === 0 && 'number' in arg ? dialect.truth(arg.number) : lanes(arg),
      );
      const write = dialect.operations[op as keyof Dialect['operations']];
      return declared(index, write(a, b, c), type.dtype === 'bool');
    },
    view: same,
    broadcast: same,
    cast: refuse,
    reduce: refuse,
    matMul: refuse,
    transpose: refuse,
    factor: refuse,
    random: refuse,
    index: refuse,
  });
  const results = Object.fromEntries(Object.entries(program.outputs).map(([name, at]) => [name, lanes(values[at])]));
  return { lines, results };
}
