import { parameterState } from './parameter-state.js';
import type { Snapshot } from './snapshot.js';
import type { ParameterState, TrainingState } from './training-state.js';

/** What was taken, by names. */
export function stateOf(snapshot: Snapshot): TrainingState {
  const { optimizer, step: steps, collected, lossScale, skipped, plateaus, globals, kept, origin } = snapshot;
  const parameters = kept.map(({ parameter, step, value, slots }): [string, ParameterState] => {
    const named = new Map(parameter.slots.map(({ name }, i) => [name, slots[i]]));
    return [parameter.name, parameterState(parameter, { value, step, slots: named })];
  });
  return {
    optimizer: optimizer.toConfig(kept.map(({ parameter }) => parameter)),
    step: steps,
    ...(collected && { collected }),
    ...(lossScale && { lossScale }),
    ...(skipped > 0 && { skipped }),
    ...(plateaus.size > 0 && { plateaus: Object.fromEntries(plateaus) }),
    ...(globals && { globals }),
    // Makes properties of the object's own, whatever the name.
    parameters: Object.fromEntries(parameters),
    origin,
  };
}
