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
  readonly parameters: readonly PlannedParameter[];
  /** Updates that each has had. */
  readonly steps: readonly number[];
  /** Of each, its elements and those of its slots in their order. */
  readonly elements: readonly (readonly FloatArray[])[];
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
  const { plan, memory, optimizer, step, collected, lossScale, skipped } = run;
  const { parameters } = plan;
  // Counts are taken and all reads started before the first read ends: a step taken meanwhile does not show.
  const readings = parameters.map(({ slots }, i) => {
    const { param, slots: kept } = memory.records[i];
    return [param, ...slots.map(({ name }) => kept.get(name) as B)].map(read);
  });
  const steps = [...memory.steps];
  const plateaus = new Map(run.scalars.plateaus);
  const globals = plan.globals.length > 0 && plan.phases ? yield* plan.phases.globals(run) : undefined;
  const elements: FloatArray[][] = [];
  for (const reading of readings) {
    const own: FloatArray[] = [];
    for (const list of reading) own.push(yield* wait(list));
    elements.push(own);
  }
  const origin = memory.device.name;
  return { optimizer, step, collected, lossScale, skipped, plateaus, globals, parameters, steps, elements, origin };
}
