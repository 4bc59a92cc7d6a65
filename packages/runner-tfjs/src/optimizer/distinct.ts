import { AdakitError } from '@adakit/core/runner';

/** @throws AdakitError for two variables of one name */
export function assertDistinct(names: readonly string[]): void {
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice === undefined) return;
  throw new AdakitError('invalid-state', `two variables have the name "${twice}"`);
}
