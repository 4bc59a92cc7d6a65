import { concreteShape, matrixExtents } from '../../expression/extents.js';
import type { Extents, Shape } from '../../expression/type.js';
import { evaluateScalars } from '../../program/scalars.js';
import type { Program } from '../../program/program.js';
import { elementCount, type FloatArray } from '../../tensor/tensor-data.js';
import { bufferNames, type Device } from '../device.js';
import { elements } from './random-program.js';

/** A parameter to run a program on, its elements from a seed. */
export interface TestParameter {
  readonly shape: readonly number[];
  readonly seed: number;
}

/** Buffers that belong to all parameters together. */
const isShared = (name: string): boolean => /^(global|sum|largest)\./.test(name);

/**
 * Runs a program on some parameters, twice; gives the contents of all buffers afterwards.
 *
 * @param together whether all parameters are allocated at once, as those of a run are
 */
export function runOn<B>(
  device: Device<B>,
  program: Program,
  parameters: readonly TestParameter[],
  hostValues: Readonly<Record<string, number>>,
  together: boolean,
): Record<string, FloatArray> {
  const shapes = shapesOf(program);
  const names = bufferNames(program);
  const shared = new Map(
    names.filter(isShared).map((name) => {
      const [[buffer]] = device.allocate([[1]]);
      device.write(buffer, 0.75);
      return [name, buffer] as const;
    }),
  );
  const own = names.filter((name) => !isShared(name));
  const lengths = parameters.map(({ shape }) =>
    own.map((name) => elementCount(concreteShape(shapes.get(name) ?? 'param', shape, matrixExtents(shape)))),
  );
  const lists = together ? device.allocate(lengths) : lengths.map((list) => device.allocate([list])[0]);
  const bindings = parameters.map(({ shape, seed }, i) => {
    const extents: Extents = matrixExtents(shape);
    const list = lists[i];
    list.forEach((buffer, k) => {
      device.write(buffer, elements(lengths[i][k], seed + 1000 * k));
    });
    const buffers = Object.fromEntries([...own.map((name, k) => [name, list[k]] as const), ...shared]);
    return { buffers, extents, shape };
  });
  const bound = device.compile(program).bind(bindings);
  for (let step = 1; step <= 2; step++) {
    // Parameters 0 and 1 share scalars, as those of one cohort do.
    const scalars = parameters.map((_, i) =>
      evaluateScalars(program, (name) => (name === 'step' ? step + (i >> 1) : name === 'key' ? i : hostValues[name])),
    );
    void bound.run(parameters.map((_, i) => scalars[i & ~1]));
  }
  const results: Record<string, FloatArray> = {};
  const keep = (name: string, buffer: B): void => {
    results[name] = device.read(buffer) as FloatArray;
  };
  for (const [name, buffer] of shared) keep(name, buffer);
  bindings.forEach(({ buffers }, i) => {
    for (const name of own) keep(`${name} of ${i}`, buffers[name]);
  });
  return results;
}

function shapesOf({ instructions, outputs }: Program): Map<string, Shape> {
  const shapes = new Map<string, Shape>();
  for (const instruction of instructions) {
    if (instruction.form === 'input') shapes.set(instruction.name, instruction.type.shape);
  }
  for (const [name, index] of Object.entries(outputs)) shapes.set(name, instructions[index].type.shape);
  return shapes;
}

/** The first element that differs in its bits, all NaNs being one; `undefined` when all agree. */
export function firstDifference(
  actual: Readonly<Record<string, FloatArray>>,
  expected: Readonly<Record<string, FloatArray>>,
): string | undefined {
  for (const [name, values] of Object.entries(expected)) {
    const others = actual[name];
    if (others.length !== values.length) return `${name} has ${others.length} elements, not ${values.length}`;
    for (let i = 0; i < values.length; i++) {
      if (!Object.is(others[i], values[i])) return `${name}[${i}] is ${others[i]}, not ${values[i]}`;
    }
  }
  return undefined;
}
