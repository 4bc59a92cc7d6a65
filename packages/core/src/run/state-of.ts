import { parameterState } from './parameter-state.js';
import type { Snapshot } from './snapshot.js';
import type { ParameterState, TrainingState } from './training-state.js';

/** What was taken, by names. */
export function stateOf(snapshot: Snapshot): TrainingState {
  const { optimizer, step, collected, lossScale, skipped, plateaus, globals, parameters, steps, elements, origin } =
    snapshot;
  const states = parameters.map((parameter, i): [string, ParameterState] => {
    const [value, ...slots] = elements[i];
    const named = new Map(parameter.slots.map(({ name }, k) => [name, slots[k]]));
    return [parameter.name, parameterState(parameter, { value, step: steps[i], slots: named })];
  });
  return {
    optimizer: optimizer.toConfig(parameters),
    step,
    ...(collected && { collected }),
    ...(lossScale && { lossScale }),
    ...(skipped > 0 && { skipped }),
    ...(plateaus.size > 0 && { plateaus: Object.fromEntries(plateaus) }),
    ...(globals && { globals }),
    // Makes properties of the object's own, whatever the name.
    parameters: Object.fromEntries(states),
    origin,
  };
}
