import type { Device, Optimizer, TrainingState } from '@adakit/core';
import { startRun, takeStep } from './replay.js';
import type { Trajectory } from './trajectory.js';

/**
 * Interrupts a trajectory before every step: takes the state, loads it into a new run and goes on to the end.
 *
 * @param through what happens to a state on its way, e.g. to a file and back. Default: a copy
 * @returns after how many steps interrupting changed a bit of the outcome: none, if state and load are right
 */
export async function lossyInterruptions<B>(
  trajectory: Trajectory,
  optimizer: Optimizer,
  device: Device<B>,
  through: (state: TrainingState) => TrainingState = structuredClone,
): Promise<number[]> {
  /** Takes the steps from `from` on; `watch` sees the state before each. */
  const goOn = async (
    from: number,
    state?: TrainingState,
    watch?: (state: TrainingState) => void,
  ): Promise<TrainingState> => {
    const run = startRun(trajectory, optimizer, device);
    try {
      if (state !== undefined) await run.load(through(state));
      for (let t = from; t < trajectory.steps; t++) {
        watch?.(await run.state());
        await takeStep(run, trajectory, t);
      }
      return await run.state();
    } finally {
      await run.dispose();
    }
  };
  const states: TrainingState[] = [];
  const uninterrupted = await goOn(0, undefined, (state) => states.push(state));
  const lossy: number[] = [];
  for (const [step, state] of states.entries()) {
    if (!sameBits(await goOn(step, state), uninterrupted)) lossy.push(step);
  }
  return lossy;
}

/** Whether two states, or parts of them, are equal to the last bit, zeros of either sign told apart. */
export function sameBits(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  const [left, right] = [Object.entries(a), Object.entries(b)];
  const other = new Map<string, unknown>(right);
  return (
    left.length === right.length && left.every(([key, value]) => other.has(key) && sameBits(value, other.get(key)))
  );
}
