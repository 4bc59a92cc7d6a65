import type { KeptState, ParameterRole, ParameterSpec, RunParameter } from '@adakit/core';
import { AdakitError, sameShape } from '@adakit/core/runner';
import { engine, type Tensor, type Variable } from '@tensorflow/tfjs-core';
import { Cell } from '../device/cell.js';

/** Gradients by variable name. A variable without a gradient is left alone. */
export type Gradients =
  | Readonly<Record<string, Tensor | null | undefined>>
  | readonly { readonly name: string; readonly tensor?: Tensor | null | undefined }[];

/** Variables, as TensorFlow.js makes them or its layers hold them, or a layers model, whose weights are meant. */
export type Variables = Iterable<Variable | LayerVariableLike> | LayersModelLike;

/** What is needed of a weight of a layer. */
export interface LayerVariableLike {
  read(): Tensor;
}

/** What is needed of a model of @tensorflow/tfjs-layers. */
export interface LayersModelLike {
  readonly weights: readonly LayerVariableLike[];
  readonly trainableWeights: readonly LayerVariableLike[];
}

export interface GradientEntry {
  readonly variable: Variable;
  readonly tensor: Tensor;
}

/** What the layers of TensorFlow.js call their weights, by which it shows what they are. */
const roles: Readonly<Record<string, ParameterRole>> = {
  kernel: 'weight',
  recurrent_kernel: 'weight',
  depthwise_kernel: 'weight',
  pointwise_kernel: 'weight',
  bias: 'bias',
  gamma: 'norm',
  beta: 'norm',
  embeddings: 'embedding',
};

/** A variable as optimizers see it: the last axis counts the outputs of a layer. */
export function parameterOf({ shape }: Variable, name: string): ParameterSpec {
  const weight = baseName(name).replace(/^.*\//, '');
  const role = Object.hasOwn(roles, weight) ? roles[weight] : undefined;
  return { name, shape, units: 'last', ...(role && { role }) };
}

/**
 * Variables as a run takes them up, whose values stay where they are.
 *
 * @param kept what was kept for them before
 */
export function runParameters(
  names: ReadonlyMap<Variable, string>,
  kept?: ReadonlyMap<Variable, KeptState>,
): Record<string, RunParameter<Cell>> {
  return Object.fromEntries(
    [...names].map(([variable, name]) => {
      const record = kept?.get(variable);
      return [name, { ...parameterOf(variable, name), buffer: new Cell(variable), ...(record && { kept: record }) }];
    }),
  );
}

/** A name without the number that TensorFlow.js appends to the second, third … variable of a name. */
export function baseName(name: string): string {
  return name.replace(/_\d+$/, '');
}

/** The variables that TensorFlow.js knows now, by name. */
export function registeredVariables(): Readonly<Record<string, Variable>> {
  return engine().registeredVariables;
}

/** Whether it has not been disposed. */
export function isAlive(variable: Variable): boolean {
  const registered = registeredVariables();
  return Object.hasOwn(registered, variable.name) && registered[variable.name] === variable;
}

/**
 * Gradients with their variables, of those that have one.
 *
 * @throws AdakitError for a gradient without a variable, of another shape or dtype, or given twice
 */
export function gradientEntries(gradients: Gradients): GradientEntry[] {
  // Any list: the entries of a Map have no name, which is an error.
  const list = isList(gradients)
    ? [...gradients]
    : Object.entries(gradients).map(([name, tensor]) => ({ name, tensor }));
  const registered = registeredVariables();
  const seen = new Set<string>();
  return list.flatMap(({ name, tensor }) => {
    if (!Object.hasOwn(registered, name)) {
      throw new AdakitError(
        'unknown-parameter',
        `gradient for "${name}", but TensorFlow.js has no variable of that name (disposed, or not made by tf.variable)`,
      );
    }
    if (seen.has(name)) throw new AdakitError('invalid-gradient', `there are two gradients for "${name}"; add them up`);
    seen.add(name);
    const variable = registered[name];
    if (!tensor) return [];
    assertFits(name, tensor, variable);
    return { variable, tensor };
  });
}

/** @throws AdakitError for a variable that is not float32 */
export function assertTrainable(name: string, { dtype }: Variable): void {
  if (dtype === 'float32') return;
  throw new AdakitError('invalid-gradient', `the variable "${name}" has dtype ${dtype}; only float32 is trained`);
}

function assertFits(name: string, gradient: Tensor, variable: Variable): void {
  const fail = (problem: string): never => {
    throw new AdakitError('invalid-gradient', problem);
  };
  assertTrainable(name, variable);
  if (gradient.isDisposed) fail(`the gradient of "${name}" has been disposed`);
  if (gradient.dtype !== 'float32') fail(`the gradient of "${name}" has dtype ${gradient.dtype}, float32 is needed`);
  if (!sameShape(gradient.shape, variable.shape)) {
    const [actual, expected] = [gradient, variable].map(({ shape }) => shape.join(', '));
    fail(`the gradient of "${name}" has shape [${actual}], the variable has [${expected}]`);
  }
}

function isList(gradients: Gradients): gradients is Extract<Gradients, readonly unknown[]> {
  return Symbol.iterator in gradients;
}

/** @throws AdakitError for two variables of one name */
export function assertDistinct(names: readonly string[]): void {
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice === undefined) return;
  throw new AdakitError('invalid-state', `two variables have the name "${twice}", which would mix up their slots`);
}
