import { checkState } from './check-state.js';
import type { Training } from './training.js';
import { wait, type Work } from './work.js';
import type { TrainingState } from './training-state.js';

/** Goes on from a state. @throws AdakitError when it does not fit; nothing has changed then */
export function* loadState<B>(run: Training<B>, state: TrainingState): Work<void> {
  // A step that is taken back is none of the state's.
  while (run.checks.size > 0) yield* wait(Promise.all(run.checks));
  const { memory } = run;
  const { optimizer, plan } = checkState(state, run.optimizer, run.plan.parameters);
  run.optimizer = optimizer;
  // A state's groups may choose parameters that have been removed.
  run.openGroups = true;
  plan.parameters.forEach((parameter, i) => {
    const record = memory.records[i];
    memory.fitSlots(record, parameter, run.plan.parameters[i].slots, false);
    const { value, step, slots } = state.parameters[parameter.name];
    memory.device.write(record.param, value.data);
    for (const [name, tensor] of Object.entries(slots)) memory.device.write(record.slots.get(name) as B, tensor.data);
    memory.steps[i] = step;
  });
  run.adopt(plan);
  for (const { name, start } of plan.globals) {
    memory.device.write(memory.numbers.get(`global.${name}`) as B, state.globals?.[name] ?? start);
  }
  run.resume(state);
}
