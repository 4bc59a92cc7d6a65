import { referenceRunner, tensor64, type Optimizer, type Runner } from '@adakit/core';

/** One parameter vector with its slots, as plain numbers. */
export interface VectorState {
  readonly param: readonly number[];
  readonly slots: Readonly<Record<string, readonly number[]>>;
}

/**
 * Optimizes one parameter vector, for tests that check a formula by hand.
 *
 * @param gradients the gradient of each step
 * @param runner default: the float64 reference
 * @returns the state after each step
 */
export async function takeSteps(
  optimizer: Optimizer,
  param: readonly number[],
  gradients: readonly (readonly number[])[],
  runner: Runner = referenceRunner(),
): Promise<VectorState[]> {
  const run = await runner.start(optimizer, { theta: tensor64(param) });
  try {
    const states: VectorState[] = [];
    for (const gradient of gradients) {
      await run.applyGradients({ theta: tensor64(gradient) });
      const { value, slots } = (await run.state()).parameters.theta;
      states.push({
        param: [...value.data],
        slots: Object.fromEntries(Object.entries(slots).map(([name, slot]) => [name, [...slot.data]])),
      });
    }
    return states;
  } finally {
    await run.dispose();
  }
}
