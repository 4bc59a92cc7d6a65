import { AdakitError } from '../errors.js';
import type { Checking } from '../component/component.js';
import { checkOneForAll } from '../plan/one-for-all.js';
import type { Plan, PlanGroup, PlannedParameter } from '../plan/plan.js';
import { runStages, type CompleteStep } from './phased-run.js';
import type { LateChecks, Steps } from './step.js';
import type { GradientSource, StepReport } from './step-types.js';
import type { CollectedBatches } from './training-state.js';
import { wait, type Work } from './work.js';

/** What makes a step of several batches: see {@link collecting}. */
export interface Collecting extends Checking {
  /** Takes in a batch, and with the last one the step. */
  step<B>(run: Steps<B>, source: GradientSource<B>, samples: number, complete: CompleteStep): Work<StepReport>;
}

/** For components with the phase `collect`: they bring what runs it, so that others need not load it. */
export const collecting: Collecting = { check, step };

function check(groups: readonly PlanGroup[]): void {
  checkOneForAll(groups, 'collecting', {
    twice: 'gradients are collected in two places; put one accumulate() around everything',
    inside: 'accumulate() is inside a group, but a step is one for all parameters; put it around groups()',
  });
  if (!groups.some(({ pieces }) => pieces.some(({ component }) => component.brings?.perturbing))) return;
  throw new AdakitError(
    'invalid-plan',
    'accumulate() and sam() cannot be combined: the second gradient would need all batches again; use larger batches',
  );
}

function* step<B>(run: Steps<B>, source: GradientSource<B>, samples: number, complete: CompleteStep): Work<StepReport> {
  const { plan, collected: before } = run;
  const batches = (before?.batches ?? 0) + 1;
  const allSamples = (before?.samples ?? 0) + samples;
  run.begin(samples, allSamples);
  // A step of several batches is one for every parameter that had a gradient in any of them.
  const join = (active: readonly PlannedParameter[]): readonly PlannedParameter[] =>
    before === undefined ? active : withCollected(run, active, before);
  const { group, piece } = plan.batches as NonNullable<Plan['batches']>;
  if (batches >= Number(run.scalars.settings(group)?.get(`hyper.${piece.prefix}every`))) {
    return yield* complete(run, source, samples, allSamples, join);
  }
  const evaluated = yield* wait(source.evaluate(run.context(plan.batchStages)));
  const active = run.members(evaluated);
  const late: LateChecks = [];
  if (yield* run.refuses(active, evaluated, late)) return run.skip(evaluated);
  if (evaluated.whole === undefined) {
    yield* run.reduceGradients();
    yield* runStages(run, plan.batchStages, active);
  } else evaluated.whole.commit();
  run.watch(late, active, () => {
    if (run.collected === undefined) return;
    const { batches, samples: all, without } = run.collected;
    const others = { batches: batches - 1, samples: all - samples, ...(without && { without }) };
    run.collected = batches > 1 ? others : undefined;
  });
  evaluated.accept?.();
  const members = new Set(join(active));
  const without = plan.parameters.flatMap((parameter) => (members.has(parameter) ? [] : [parameter.name]));
  run.collected = { batches, samples: allSamples, ...(without.length > 0 && { without }) };
  return run.report('collected', evaluated.loss);
}

/** The parameters that take part, or did in a batch before. */
function withCollected<B>(
  { plan: { parameters } }: Steps<B>,
  active: readonly PlannedParameter[],
  { without = [] }: CollectedBatches,
): readonly PlannedParameter[] {
  if (without.length === 0) return parameters;
  return parameters.filter((parameter) => active.includes(parameter) || !without.includes(parameter.name));
}
