import type { Training } from './training.js';

/** Whether the next step takes in a second gradient: steps 1, 1 + `every`, … do, where the optimizer has one. */
export function needsEstimate<B>({ plan: { estimate }, step }: Training<B>): boolean {
  return estimate !== undefined && step % Number(estimate.hyperparameters.every) === 0;
}
