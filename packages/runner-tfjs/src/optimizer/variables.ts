import { AdakitError, sameShape, type ParameterRole, type ParameterSpec } from '@adakit/core';
import { engine, type Tensor, type Variable } from '@tensorflow/tfjs-core';

/** Gradients by variable name. A variable without a gradient is left alone. */
export type Gradients =
  | Readonly<Record<string, Tensor | null | undefined>>
  | readonly { readonly name: string; readonly tensor?: Tensor | null | undefined }[];

/** Variables, or a layers model, whose weights are meant. */
export type Variables = Iterable<Variable> | LayersModelLike;

/** What is needed of a model of @tensorflow/tfjs-layers. */
export interface LayersModelLike {
  readonly weights: readonly { read(): Tensor }[];
  readonly trainableWeights: readonly { read(): Tensor }[];
}

export interface GradientEntry {
  readonly name: string;
  readonly variable: Variable;
  readonly tensor: Tensor | null | undefined;
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

/** Variables to train, and others, such as moving averages and frozen weights. */
export function sortVariables(variables: Variables): {
  readonly trainable: readonly Variable[];
  readonly others: readonly Variable[];
} {
  if (!('trainableWeights' in variables)) {
    const list = [...variables];
    return { trainable: list.filter((each) => each.trainable), others: list.filter((each) => !each.trainable) };
  }
  // A model knows which layers are frozen; building it marks their variables as trainable again.
  const read = (weights: LayersModelLike['weights']): Variable[] =>
    weights.map((weight) => weight.read()).filter(isVariable);
  const trainable = read(variables.trainableWeights);
  return { trainable, others: read(variables.weights).filter((variable) => !trainable.includes(variable)) };
}

function isVariable(tensor: Tensor): tensor is Variable {
  return 'trainable' in tensor && 'assign' in tensor;
}

/**
 * Gradients with their variables.
 *
 * @throws AdakitError for a gradient without a variable, of another shape or dtype, or given twice
 */
export function gradientEntries(gradients: Gradients): GradientEntry[] {
  const list = isList(gradients) ? gradients : Object.entries(gradients).map(([name, tensor]) => ({ name, tensor }));
  const registered = registeredVariables();
  const seen = new Set<string>();
  return list.map(({ name, tensor }) => {
    if (!Object.hasOwn(registered, name)) {
      throw new AdakitError(
        'unknown-parameter',
        `gradient for "${name}", but TensorFlow.js has no variable of that name (disposed, or not made by tf.variable)`,
      );
    }
    if (seen.has(name)) throw new AdakitError('invalid-gradient', `there are two gradients for "${name}"; add them up`);
    seen.add(name);
    const variable = registered[name];
    if (tensor) assertFits(name, tensor, variable);
    return { name, variable, tensor };
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
  if (gradient.dtype !== 'float32') fail(`the gradient of "${name}" has dtype ${gradient.dtype}, float32 is needed`);
  if (!sameShape(gradient.shape, variable.shape)) {
    const [actual, expected] = [gradient, variable].map(({ shape }) => shape.join(', '));
    fail(`the gradient of "${name}" has shape [${actual}], the variable has [${expected}]`);
  }
}

/** Array.isArray does not narrow readonly arrays. */
function isList(gradients: Gradients): gradients is Extract<Gradients, readonly unknown[]> {
  return Array.isArray(gradients);
}

/** @throws AdakitError for two variables of one name */
export function assertDistinct(names: readonly string[]): void {
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice === undefined) return;
  throw new AdakitError('invalid-state', `two variables have the name "${twice}", which would mix up their slots`);
}
