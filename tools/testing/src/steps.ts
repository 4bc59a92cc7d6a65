import { referenceDevice, Run, tensor64, type Device, type Optimizer } from '@adakit/core';

/** One parameter vector with its slots, as plain numbers. */
export interface VectorState {
  readonly param: readonly number[];
  readonly slots: Readonly<Record<string, readonly number[]>>;
}

/**
 * Optimizes one parameter vector in float64, for tests that check a formula by hand.
 *
 * @param gradients the gradient of each step
 * @returns the state after each step
 */
export function takeSteps(
  optimizer: Optimizer,
  param: readonly number[],
  gradients: readonly (readonly number[])[],
): Promise<VectorState[]> {
  return takeStepsOn(referenceDevice(), optimizer, param, gradients);
}

/** Like {@link takeSteps}, on any device. */
export async function takeStepsOn<B>(
  device: Device<B>,
  optimizer: Optimizer,
  param: readonly number[],
  gradients: readonly (readonly number[])[],
): Promise<VectorState[]> {
  const run = Run.start(device, optimizer, { theta: tensor64(param) });
  try {
    const states: VectorState[] = [];
    for (const gradient of gradients) {
      const gradients = { theta: tensor64(gradient) };
      await run.applyGradients(gradients, { estimate: gradients });
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
