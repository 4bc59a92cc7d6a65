import { parameterState } from './parameter-state.js';
import type { Snapshot } from './snapshot.js';
import type { ParameterState, TrainingState } from './training-state.js';

/** What was taken, by names. */
export function stateOf({ optimizer, overall, kept, origin }: Snapshot): TrainingState {
  const parameters: Record<string, ParameterState> = {};
  for (const { parameter, step, value, slots } of kept) {
    const named = new Map(parameter.slots.map(({ name }, i) => [name, slots[i]]));
    parameters[parameter.name] = parameterState(parameter, { value, step, slots: named });
  }
  return { optimizer: optimizer.toConfig(kept.map(({ parameter }) => parameter)), ...overall, parameters, origin };
}
