import { AdakitError, sameShape } from '@adakit/core/runner';
import type { Tensor, Variable } from '@tensorflow/tfjs-core';
import { assertTrainable, registeredVariables } from './variables.js';

/** Gradients by variable name. A variable without a gradient is left alone. */
export type Gradients =
  | Readonly<Record<string, Tensor | null | undefined>>
  | readonly { readonly name: string; readonly tensor?: Tensor | null | undefined }[];

export interface GradientEntry {
  readonly variable: Variable;
  readonly tensor: Tensor;
}

/**
 * Gradients with their variables, of those that have one.
 *
 * @throws AdakitError for a gradient without a variable, of another shape or dtype, or given twice
 */
export function gradientEntries(gradients: Gradients): GradientEntry[] {
  const registered = registeredVariables();
  const seen = new Set<string>();
  return namedGradients(gradients).flatMap((given) => {
    // What is no TypeScript may give anything.
    const { name, tensor } = Object(given) as typeof given;
    if (!Object.hasOwn(registered, name)) {
      throw new AdakitError(
        'unknown-parameter',
        `gradient for "${name}", but there is no such variable (disposed, or not made by tf.variable)`,
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

function namedGradients(gradients: Gradients): Extract<Gradients, readonly unknown[]> {
  // Any list: the entries of a Map have no name, which is an error, and so is what is neither list nor object.
  if (Object(gradients) !== gradients) return [gradients as never];
  if (Symbol.iterator in gradients) return [...gradients];
  return Object.entries(gradients).map(([name, tensor]) => ({ name, tensor }));
}

function assertFits(name: string, gradient: Tensor, variable: Variable): void {
  assertTrainable(`variable "${name}"`, variable);
  assertTrainable(`gradient of "${name}"`, gradient);
  const { isDisposed } = gradient;
  if (!isDisposed && sameShape(gradient.shape, variable.shape)) return;
  const [actual, expected] = [gradient, variable].map(({ shape }) => shape.join(', '));
  const problem = isDisposed ? 'has been disposed' : `has shape [${actual}], the variable has [${expected}]`;
  throw new AdakitError('invalid-gradient', `the gradient of "${name}" ${problem}`);
}
