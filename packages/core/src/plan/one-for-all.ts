import type { Brought } from '../component/component.js';
import { AdakitError } from '../errors.js';
import type { PlanGroup } from './plan.js';

/**
 * Checks what a step does once for all parameters: that one piece brings it, and that it is around every parameter.
 *
 * @param what the piece brings
 * @param problems what to say of two of them, and of one that is inside a group
 * @throws AdakitError `invalid-plan`
 */
export function checkOneForAll(
  groups: readonly PlanGroup[],
  what: keyof Brought,
  problems: { readonly twice: string; readonly inside: string },
): void {
  const found = groups.map(({ pieces }) => pieces.filter(({ component }) => component.brings?.[what]));
  if (new Set(found.flat()).size > 1) throw new AdakitError('invalid-plan', problems.twice);
  if (found.some((pieces) => pieces.length === 0)) throw new AdakitError('invalid-plan', problems.inside);
}
