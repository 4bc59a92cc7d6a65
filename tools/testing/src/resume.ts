import type { Optimizer, Runner, TensorData, TrainingState } from '@adakit/core';
import { startRun, takeStep } from './replay.js';
import type { Trajectory } from './trajectory.js';

/**
 * Interrupts a trajectory before every step: takes the state, loads it into a new run and goes on to the end.
 *
 * @returns after how many steps interrupting changed a bit of the outcome: none, if state and load are right
 */
export async function lossyInterruptions(
  trajectory: Trajectory,
  optimizer: Optimizer,
  runner: Runner,
): Promise<number[]> {
  /** Takes the steps from `from` on; `watch` sees the state before each. */
  const goOn = async (
    from: number,
    state?: TrainingState,
    watch?: (state: TrainingState) => void,
  ): Promise<TrainingState> => {
    const run = await startRun(trajectory, optimizer, runner);
    try {
      if (state !== undefined) await run.load(structuredClone(state));
      for (let t = from; t < trajectory.steps; t++) {
        watch?.(await run.state());
        await takeStep(run, trajectory, t, runner.precision);
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

function sameBits(a: TrainingState, b: TrainingState): boolean {
  const [p, q] = [a.parameters.theta, b.parameters.theta];
  const slots = Object.keys(q.slots);
  return (
    a.step === b.step &&
    p.step === q.step &&
    sameElements(p.value, q.value) &&
    Object.keys(p.slots).length === slots.length &&
    slots.every((slot) => sameElements(p.slots[slot], q.slots[slot]))
  );
}

function sameElements({ data: a }: TensorData, { data: b }: TensorData): boolean {
  return a.length === b.length && a.every((x, i) => Object.is(x, b[i]));
}
