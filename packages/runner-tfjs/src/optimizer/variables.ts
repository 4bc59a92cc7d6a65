import type { KeptState, ParameterRole, ParameterSpec, RunParameter } from '@adakit/core';
import { AdakitError } from '@adakit/core/runner';
import * as tf from '@tensorflow/tfjs-core';
import type { Tensor, Variable } from '@tensorflow/tfjs-core';
import { Cell } from '../device/cell.js';

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
export function parameterOf({ shape }: Pick<Variable, 'shape'>, name: string): ParameterSpec {
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
  return tf.engine().registeredVariables;
}

/** Whether it has not been disposed. */
export function isAlive(variable: Variable): boolean {
  const registered = registeredVariables();
  return Object.hasOwn(registered, variable.name) && registered[variable.name] === variable;
}

/** @throws AdakitError for a tensor that is not float32. @param what names it */
export function assertTrainable(what: string, { dtype }: Tensor): void {
  if (dtype === 'float32') return;
  throw new AdakitError('invalid-gradient', `the ${what} has dtype ${dtype}; only float32 is trained`);
}
