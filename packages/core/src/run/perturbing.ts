import { AdakitError } from '../errors.js';
import type { Checking } from '../component/component.js';
import type { PlanGroup, PlannedParameter } from '../plan/plan.js';
import { elementCount } from '../tensor/tensor-data.js';
import { runStages } from './phased-run.js';
import type { LateChecks, Steps } from './step.js';
import type { GradientSource } from './step-types.js';
import { wait, type Work } from './work.js';

/** What takes the gradient where a component has moved the parameters to: see {@link perturbing}. */
export interface Perturbing extends Checking {
  /**
   * Gradients at the perturbed point; the parameters are back where they were in any case.
   *
   * @returns whether they are good
   */
  takeAgain<B>(
    run: Steps<B>,
    source: GradientSource<B>,
    active: readonly PlannedParameter[],
    late: LateChecks,
  ): Work<boolean>;
}

/** For components with the phase `perturb`: they bring what runs it, so that others need not load it. */
export const perturbing: Perturbing = { check, takeAgain };

/** Where the loss is to be large, what is sharp is where it is small nearby, which is not where its gradient leads. */
function check(groups: readonly PlanGroup[]): void {
  if (!groups.some(({ pieces }) => pieces.some(({ component }) => component.name === 'maximize'))) return;
  throw new AdakitError(
    'invalid-plan',
    'maximize() and sam() cannot be combined: sam() moves to where the loss is larger; train on the negated loss without maximize()',
  );
}

function* takeAgain<B>(
  run: Steps<B>,
  source: GradientSource<B>,
  active: readonly PlannedParameter[],
  late: LateChecks,
): Work<boolean> {
  const { device } = run.memory;
  const records = run.memory.recordsOf(active);
  active.forEach(({ shape }, i) => {
    records[i].origin ??= device.allocate([[elementCount(shape)]])[0][0];
    device.copy(records[i].param, records[i].origin);
  });
  try {
    yield* runStages(run, run.plan.perturbStages, active);
    const again = yield* wait(source.evaluate(run.context([])));
    if (yield* run.refuses(active, again, late)) return false;
    yield* run.reduceGradients();
    return true;
  } finally {
    for (const { origin, param } of records) if (origin !== undefined) device.copy(origin, param);
  }
}
