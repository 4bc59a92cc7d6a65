import type { MaybePromise } from '../device/device.js';
import type { FloatArray } from '../tensor/tensor-data.js';
import { wait, type Work } from './drive.js';
import { parameterState } from './parameter-state.js';
import type { Training } from './training.js';
import type { ParameterState, TrainingState } from './training-state.js';

/**
 * A copy of all that is needed to go on.
 *
 * @param read what to take as a buffer's elements
 */
export function* stateOf<B>(
  run: Training<B>,
  read = (buffer: B): MaybePromise<FloatArray> => run.memory.device.read(buffer),
): Work<TrainingState> {
  while (run.checks.size > 0) yield* wait(Promise.all(run.checks));
  const { plan, memory, scalars, step, collected, lossScale, skipped } = run;
  // Counts are taken and all reads started before the first read ends: a step taken meanwhile does not show.
  const readings = plan.parameters.map((parameter) => {
    const record = memory.records[parameter.index];
    return {
      parameter,
      step: record.step,
      value: read(record.param),
      slots: parameter.slots.map(({ name }) => [name, read(record.slots.get(name) as B)] as const),
    };
  });
  const overall = {
    optimizer: run.optimizer.toConfig(plan.parameters),
    step,
    ...(collected && { collected }),
    ...(lossScale && { lossScale }),
    ...(skipped > 0 && { skipped }),
    ...(scalars.plateaus.size > 0 && { plateaus: Object.fromEntries(scalars.plateaus) }),
  };
  const reading = plan.globals.length > 0 ? plan.phases?.globals(run) : undefined;
  const globals = reading === undefined ? undefined : yield* reading;
  const parameters: Record<string, ParameterState> = {};
  for (const { parameter, step, value, slots } of readings) {
    const kept = new Map<string, FloatArray>();
    for (const [name, reading] of slots) kept.set(name, yield* wait(reading));
    parameters[parameter.name] = parameterState(parameter, { value: yield* wait(value), step, slots: kept });
  }
  return { ...overall, ...(globals && { globals }), parameters, origin: memory.device.name };
}
