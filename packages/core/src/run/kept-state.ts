import type { Optimizer } from '../optimizer/optimizer.js';
import type { PlannedParameter } from '../plan/plan.js';
import { shapesOf, slotCountProblems, slotProblems } from './check-slots.js';
import type { ParameterState } from './training-state.js';

/** What was kept for a parameter, with the check that it fits. */
export interface KeptState extends Pick<ParameterState, 'step' | 'slots'> {
  /** Why it is not what this optimizer keeps for a parameter. */
  problems(parameter: PlannedParameter, optimizer: Optimizer): readonly string[];
}

/** What was kept for a parameter, for a run to go on from. */
export function keptState({ step, slots }: Pick<ParameterState, 'step' | 'slots'>): KeptState {
  return {
    step,
    slots,
    problems: (parameter, optimizer) => [
      ...slotProblems(parameter, { step, slots: shapesOf(slots) }, optimizer),
      ...slotCountProblems(parameter.name, slots),
    ],
  };
}
