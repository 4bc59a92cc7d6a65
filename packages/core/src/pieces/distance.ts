import type { GlobalSource } from '../component/component.js';
import { where, type Scalar, type Tensor } from '../expression/expression.js';

/**
 * Globals of rules that learn their rate from the distance to the solution (Defazio & Mishchenko 2023): d, an estimate of it,
 * and d before the step. Both start at the hyperparameter `d0`.
 */
export const distance = [
  { name: 'd', start: 'initial.d0' },
  { name: 'dBefore', start: 'initial.d0' },
] as const satisfies readonly GlobalSource[];

/**
 * These globals after a step, and the numerator of the estimate. While its denominator is zero, all gradients have been:
 * nothing is known, and everything stays as it is. A step whose learning rate is zero adds to the numerator alone, as in the
 * authors' code.
 *
 * @param before d, and what else follows from the estimate
 * @param found the same by what this step has shown
 */
export function distanceAfter<Name extends string>(
  before: Readonly<Record<Name | 'd', Tensor>>,
  found: Readonly<Record<Name | 'd', Tensor>>,
  {
    lr,
    numerator,
    denominator,
  }: {
    readonly lr: Scalar;
    readonly numerator: { readonly before: Tensor; readonly found: Tensor };
    readonly denominator: Tensor;
  },
): Readonly<Record<Name | 'd' | 'dBefore' | 'numerator', Tensor>> {
  const known = (kept: Tensor, next: Tensor): Tensor => where(denominator.equal(0), kept, next);
  const learned = (name: Name | 'd'): Tensor => known(before[name], where(lr.equal(0), before[name], found[name]));
  const rest = (Object.keys(found) as (Name | 'd')[]).map((name) => [name, learned(name)] as const);
  return {
    d: learned('d'),
    dBefore: before.d,
    ...(Object.fromEntries(rest) as Record<Name, Tensor>),
    numerator: known(numerator.before, numerator.found),
  };
}
