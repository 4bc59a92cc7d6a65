import { parameterState } from './parameter-state.js';
import type { Snapshot } from './snapshot.js';
import type { ParameterState, TrainingState } from './training-state.js';

/** What was taken, by names. */
export function stateOf(snapshot: Snapshot): TrainingState {
  const { optimizer, step: steps, collected, lossScale, skipped, plateaus, globals, kept, origin } = snapshot;
  const parameters: Record<string, ParameterState> = {};
  for (const { parameter, step, value, slots } of kept) {
    const named = new Map(parameter.slots.map(({ name }, i) => [name, slots[i]]));
    parameters[parameter.name] = parameterState(parameter, { value, step, slots: named });
  }
  return {
    optimizer: optimizer.toConfig(kept.map(({ parameter }) => parameter)),
    step: steps,
    ...(collected && { collected }),
    ...(lossScale && { lossScale }),
    ...(skipped > 0 && { skipped }),
    ...(plateaus.size > 0 && { plateaus: Object.fromEntries(plateaus) }),
    ...(globals && { globals }),
    parameters,
    origin,
  };
}
