import type { MaybePromise } from '../device/device.js';
import type { Optimizer } from '../optimizer/optimizer.js';
import type { PlannedParameter } from '../plan/plan.js';
import type { PlateauState } from '../schedule/schedule.js';
import type { FloatArray } from '../tensor/tensor-data.js';
import { wait, type Work } from './work.js';
import type { Training } from './training.js';
import type { CollectedBatches, LossScaleState } from './training-state.js';

/** All that is needed to go on, as it is on the device. */
export interface Snapshot {
  readonly optimizer: Optimizer;
  readonly step: number;
  readonly collected: CollectedBatches | undefined;
  readonly lossScale: LossScaleState | undefined;
  readonly skipped: number;
  readonly plateaus: ReadonlyMap<string, PlateauState>;
  readonly globals: Readonly<Record<string, number>> | undefined;
  /** Elements of slots in the order of the parameter's. */
  readonly kept: readonly {
    readonly parameter: PlannedParameter;
    readonly step: number;
    readonly value: FloatArray;
    readonly slots: readonly FloatArray[];
  }[];
  readonly origin: string;
}

/**
 * Takes a copy of everything.
 *
 * @param read what to take as a buffer's elements
 */
export function* takeSnapshot<B>(
  run: Training<B>,
  read = (buffer: B): MaybePromise<FloatArray> => run.memory.device.read(buffer),
): Work<Snapshot> {
  while (run.checks.size > 0) yield* wait(Promise.all(run.checks));
  const { plan, memory, optimizer } = run;
  // Counts are taken and all reads started before the first read ends: a step taken meanwhile does not show.
  const readings = plan.parameters.map((parameter) => {
    const { param, slots } = memory.records[parameter.index];
    const step = memory.steps[parameter.index];
    return { parameter, step, buffers: [param, ...parameter.slots.map(({ name }) => slots.get(name) as B)].map(read) };
  });
  const { step, collected, lossScale, skipped } = run;
  const plateaus = new Map(run.scalars.plateaus);
  const globals = plan.globals.length > 0 && plan.phases ? yield* plan.phases.globals(run) : undefined;
  const kept: Snapshot['kept'][number][] = [];
  for (const { parameter, step, buffers } of readings) {
    const elements: FloatArray[] = [];
    for (const reading of buffers) elements.push(yield* wait(reading));
    const [value, ...slots] = elements;
    kept.push({ parameter, step, value, slots });
  }
  return { optimizer, step, collected, lossScale, skipped, plateaus, globals, kept, origin: memory.device.name };
}
