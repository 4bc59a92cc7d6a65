import { z } from 'zod';
import { AdakitError } from '../errors.js';

/**
 * How a hyperparameter changes over time, as data: a factor on its value that depends on the number of the step t,
 * counted from 1. Data, so that it is saved with the state and goes on where it stopped.
 */
export type Schedule =
  /** factor^⌊(t − 1) / every⌋ (torch.optim.lr_scheduler.StepLR). */
  | { readonly kind: 'step'; readonly every: number; readonly factor: number }
  /** factor^(number of milestones m with m < t) (MultiStepLR): the first step after a milestone has the new value. */
  | { readonly kind: 'milestones'; readonly at: readonly number[]; readonly factor: number }
  /** factor^(t − 1) (ExponentialLR). */
  | { readonly kind: 'exponential'; readonly factor: number }
  /** From `from` at step 1 to `to` at step `steps` + 1 on a straight line, then `to` (LinearLR). */
  | { readonly kind: 'linear'; readonly from: number; readonly to: number; readonly steps: number }
  /** From 1 at step 1 to `floor` at step `steps` + 1 on half a cosine wave, then `floor` (Loshchilov & Hutter 2017, eq. 5). */
  | { readonly kind: 'cosine'; readonly steps: number; readonly floor: number }
  /** Each part for its number of steps, counting steps anew; the last one for good (SequentialLR). */
  | { readonly kind: 'sequence'; readonly parts: readonly { readonly schedule: Schedule; readonly steps: number }[] };

const count = z.int().positive();
const factor = z.number().nonnegative();

/** The form of a schedule in files. */
export const scheduleSchema: z.ZodType<Schedule> = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('step'), every: count, factor }),
  z.strictObject({ kind: z.literal('milestones'), at: z.array(z.int().nonnegative()), factor }),
  z.strictObject({ kind: z.literal('exponential'), factor }),
  z.strictObject({ kind: z.literal('linear'), from: factor, to: factor, steps: count }),
  z.strictObject({ kind: z.literal('cosine'), steps: count, floor: factor }),
  z.strictObject({
    kind: z.literal('sequence'),
    get parts() {
      return z.array(z.strictObject({ schedule: scheduleSchema, steps: count })).min(1);
    },
  }),
]);

/** Checks a schedule made by hand. @throws AdakitError naming what is wrong */
export function parseSchedule(hyperparameter: string, schedule: unknown): Schedule {
  const result = scheduleSchema.safeParse(schedule);
  if (result.success) return result.data;
  const issues = result.error.issues.map((issue) => `${issue.path.join('.') || 'it'}: ${issue.message}`);
  throw new AdakitError('invalid-hyperparameter', `the schedule of ${hyperparameter} is wrong: ${issues.join('; ')}`);
}

/** The factor at step `t`, counted from 1. */
export function scheduleFactor(schedule: Schedule, t: number): number {
  const done = t - 1;
  switch (schedule.kind) {
    case 'step':
      return schedule.factor ** Math.floor(done / schedule.every);
    case 'milestones':
      return schedule.factor ** schedule.at.filter((milestone) => milestone < t).length;
    case 'exponential':
      return schedule.factor ** done;
    case 'linear':
      return schedule.from + (schedule.to - schedule.from) * Math.min(done / schedule.steps, 1);
    case 'cosine': {
      const progress = Math.min(done / schedule.steps, 1);
      return schedule.floor + (1 - schedule.floor) * 0.5 * (1 + Math.cos(Math.PI * progress));
    }
    case 'sequence': {
      let start = 0;
      for (const part of schedule.parts.slice(0, -1)) {
        if (done < start + part.steps) return scheduleFactor(part.schedule, t - start);
        start += part.steps;
      }
      return scheduleFactor(schedule.parts[schedule.parts.length - 1].schedule, t - start);
    }
  }
}

/** Multiplies by `factor` every `every` steps. */
export const stepDecay = (every: number, factor = 0.1): Schedule => ({ kind: 'step', every, factor });
/** Multiplies by `factor` after each of the steps `at`: `milestones([150, 200])`. */
export const milestones = (at: readonly number[], factor = 0.1): Schedule => ({ kind: 'milestones', at, factor });
/** Multiplies by `factor` every step. */
export const exponential = (factor: number): Schedule => ({ kind: 'exponential', factor });
/** From factor `from` to factor `to` in `steps` steps. */
export const linear = (from: number, to: number, steps: number): Schedule => ({ kind: 'linear', from, to, steps });
/** Half a cosine wave from 1 down to `floor` in `steps` steps. */
export const cosine = (steps: number, floor = 0): Schedule => ({ kind: 'cosine', steps, floor });
/** A straight rise from 0 (step 1 takes the first fraction, not 0) to 1 in `steps` steps, then `then`. */
export const warmup = (steps: number, then: Schedule): Schedule => ({
  kind: 'sequence',
  parts: [
    { schedule: linear(1 / steps, 1 + 1 / steps, steps), steps },
    { schedule: then, steps: 1 },
  ],
});
