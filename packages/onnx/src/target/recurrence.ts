import { linearRecurrenceOf, statesByScan, statesInSteps } from '../entry/recurrent/linear.js';
import type { Formulation } from './target.js';

/** Fewer steps than this are hardly more nodes than a Scan and what is around it. */
const LEAST_STEPS = 8;

/** As a Scan, for many steps. */
export const recurrenceByScan: Formulation = (ctx) => {
  const recurrence = linearRecurrenceOf(ctx);
  return (recurrence.time < LEAST_STEPS ? statesInSteps : statesByScan)(ctx.e, recurrence);
};

/** Step by step, where a Scan costs more than nodes: recorded CUDA graphs have none, and WebGPU has no kernel for it. */
export const recurrenceInSteps: Formulation = (ctx) => statesInSteps(ctx.e, linearRecurrenceOf(ctx));
