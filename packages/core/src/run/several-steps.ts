import type { MaybePromise } from '../device/device.js';
import { AdakitError } from '../errors.js';
import type { Plan, Stage } from '../plan/plan.js';
import { wait, type Work } from './work.js';
import { HostScalars } from './host-scalars.js';
import { nonFiniteError, type Steps } from './step.js';
import type { GradientContext, StepReport } from './step-types.js';

/** Where several steps come from that a source takes in one go. */
export interface SeveralStepsSource<B> {
  /**
   * Takes one step after the other, up to their adoption.
   *
   * @param steps one for each; they differ in the number of the step and in the scalars
   * @throws to refuse them all; nothing has changed then
   */
  evaluate(steps: readonly GradientContext<B>[]): MaybePromise<SeveralEvaluated>;
}

/** What a {@link SeveralStepsSource} has computed. */
export interface SeveralEvaluated {
  /** Of each step. */
  readonly losses: readonly number[];
  /** Of each step, names of parameters whose gradients are not finite. */
  readonly nonFinite: readonly (readonly string[])[];
  /** Puts what the last step has made into the buffers. */
  readonly commit: () => void;
  /** Called when the steps are taken: running statistics and the like change then. */
  readonly accept?: () => void;
}

/**
 * Why steps of an optimizer cannot be taken several in one go, where nobody looks at what is between them; undefined where
 * they can.
 */
export function severalStepsProblem(plan: Plan): string | undefined {
  if (plan.batches !== undefined) return 'accumulate() makes a step of several batches';
  if (plan.perturbStages.length > 0) return 'sam() takes the gradient twice a step';
  if (plan.estimate !== undefined) return `${plan.estimate.component.name} takes in a second gradient`;
  if (plan.lossScale !== undefined) return 'the scale of the loss follows from which steps were refused';
  const followsLoss = plan.groups.some(({ pieces }) =>
    pieces.some(({ schedules }) =>
      Object.values(schedules).some((schedule) => schedule.reported('loss', undefined, 0) !== undefined),
    ),
  );
  return followsLoss ? 'a schedule on a plateau looks at the loss of every step' : undefined;
}

/**
 * Takes several steps in one go, all of them or none.
 *
 * @returns their reports, or undefined where one of them is not finite and steps may be skipped: nothing has changed then
 * @throws AdakitError `non-finite`, naming the step; `invalid-plan` where {@link severalStepsProblem} has one
 */
export function* takeSeveral<B>(
  run: Steps<B>,
  source: SeveralStepsSource<B>,
  count: number,
): Work<readonly StepReport[] | undefined> {
  const { failure, plan } = run;
  run.failure = undefined;
  if (failure !== undefined) throw failure;
  const problem = severalStepsProblem(plan);
  if (problem !== undefined) {
    throw new AdakitError('invalid-plan', `steps cannot be taken several in one go: ${problem}; take them one by one`);
  }
  const stages = [...plan.batchStages, ...plan.stages];
  const steps = Array.from({ length: count }, (_, ahead) => contextAhead(run, stages, ahead));
  const { losses, nonFinite, commit, accept } = yield* wait(source.evaluate(steps));
  const bad = losses.findIndex((loss, i) => !Number.isFinite(loss) || nonFinite[i].length > 0);
  if (bad >= 0) {
    if ((run.options.nonFinite ?? 'refuse') !== 'refuse') return undefined;
    throw nonFiniteError(nonFinite[bad], losses[bad], run.step + 1 + bad);
  }
  commit();
  accept?.();
  return losses.map((loss) => run.take(plan.parameters, { loss }));
}

/** What the step works on that comes after `ahead` others. */
function contextAhead<B>(run: Steps<B>, stages: readonly Stage[], ahead: number): GradientContext<B> {
  const { plan, memory } = run;
  const step = run.step + 1 + ahead;
  // Scalars of their own: those of the run are of one step at a time.
  const scalars = new HostScalars(plan, run.scalars.plateaus);
  scalars.begin({ step, lossScale: 1, samples: 1, allSamples: 1 });
  return {
    ...run.buffers,
    lossScale: 1,
    step,
    batch: 0,
    whole: {
      plan,
      stages,
      perturbs: false,
      kept: memory.records,
      steps: memory.steps.map((taken) => taken + ahead),
      numbers: memory.numbers,
      scalars: (program, group, parameter) =>
        scalars.of(program, group, parameter, parameter && memory.steps[parameter.index] + 1 + ahead),
    },
  };
}
