import { AdakitError } from '../errors.js';
import type { Optimizer } from '../optimizer/optimizer.js';
import type { PlannedParameter } from '../plan/plan.js';
import { shapesOf, slotCountProblems, slotProblems } from './check-slots.js';
import type { ParameterState } from './training-state.js';

/** What was kept for a parameter, with the check that it fits. */
export interface KeptState extends Pick<ParameterState, 'step' | 'slots'> {
  /**
   * Checks what was kept for several parameters.
   *
   * @throws AdakitError `state-mismatch` where it is not what this optimizer keeps, for every reason at once
   */
  check(
    parameters: readonly PlannedParameter[],
    kept: readonly (Pick<ParameterState, 'step' | 'slots'> | undefined)[],
    optimizer: Optimizer,
  ): void;
}

/** What was kept for a parameter, for a run to go on from. */
export function keptState({ step, slots }: Pick<ParameterState, 'step' | 'slots'>): KeptState {
  return { step, slots, check };
}

function check(
  parameters: readonly PlannedParameter[],
  kept: readonly (Pick<ParameterState, 'step' | 'slots'> | undefined)[],
  optimizer: Optimizer,
): void {
  const problems = parameters.flatMap((parameter, i) => {
    const own = kept[i];
    if (own === undefined) return [];
    const { step, slots } = own;
    return [
      ...slotProblems(parameter, { step, slots: shapesOf(slots) }, optimizer),
      ...slotCountProblems(parameter.name, slots),
    ];
  });
  if (problems.length === 0) return;
  throw new AdakitError('state-mismatch', `what was kept does not fit this run:\n  ${problems.join('\n  ')}`);
}
