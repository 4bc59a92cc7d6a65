import { AdakitError } from '../errors.js';
import type { PlannedParameter, Stage } from '../plan/plan.js';
import { wait, type Work } from './drive.js';
import type { BoundProgram } from './memory.js';
import type { Training } from './training.js';
import type { Evaluated, GradientContext, GradientSource, StepOptions, StepReport } from './step-types.js';

/** A step of an optimizer that has nothing but updates: gradients, whether they are finite, and one program a parameter. */
export function* plainStep<B>(
  run: Training<B>,
  source: GradientSource<B>,
  { samples = 1 }: StepOptions,
): Work<StepReport> {
  const { stages } = run.plan;
  run.scalars.begin({ step: run.step + 1, lossScale: 1, samples, allSamples: samples });
  const evaluated = yield* wait(source.evaluate(contextOf(run, stages)));
  const members = membersOf(run, evaluated);
  const late: LateChecks = [];
  if (yield* refused(run, members, evaluated, late)) return skip(run, evaluated);
  if (evaluated.whole === undefined) {
    yield* reduceGradients(run);
    for (const stage of stages) yield* runCalls(run, stage, members);
  } else evaluated.whole.commit();
  watch(run, late, members, () => {
    untake(run, members);
  });
  return take(run, members, evaluated);
}

/** Checks whose outcome is not known yet. */
export type LateChecks = Promise<readonly number[]>[];

/** What a source works on. @param stages that follow on its gradients */
export function contextOf<B>(run: Training<B>, stages: readonly Stage[]): GradientContext<B> {
  const { plan, memory, scalars, step } = run;
  const { parameters, gradients } = run.buffers;
  return {
    parameters,
    gradients,
    lossScale: run.lossScale?.scale ?? 1,
    step: step + 1,
    batch: run.collected?.batches ?? 0,
    whole: {
      plan,
      stages,
      perturbs: plan.perturbStages.length > 0,
      kept: memory.records,
      steps: memory.steps,
      numbers: memory.numbers,
      scalars: (program, group, parameter) =>
        scalars.of(program, group, parameter, parameter && memory.steps[parameter.index] + 1),
    },
  };
}

/** The parameters that take part, in the plan's order. */
export function membersOf<B>({ plan }: Training<B>, { gradients }: Evaluated): readonly PlannedParameter[] {
  if (gradients === undefined) return plan.parameters;
  const names = new Set(gradients);
  return plan.parameters.filter(({ name }) => names.has(name));
}

export function* reduceGradients<B>({ options, buffers }: Training<B>): Work<void> {
  if (options.reduceGradients) yield* wait(options.reduceGradients(buffers.gradients));
}

/** Runs the programs of a stage on some parameters. */
export function* runCalls<B>(run: Training<B>, stage: Stage, members: readonly PlannedParameter[]): Work<void> {
  if (stage.kind === 'total') return;
  for (const bound of run.memory.bindStage(stage, members)) yield* wait(bound.kernel.run(scalarsOf(run, bound)));
}

/** The scalars of each parameter that a program is bound to. */
function scalarsOf<B>({ scalars, memory: { steps } }: Training<B>, { program, calls }: BoundProgram): Float64Array[] {
  const all: Float64Array[] = [];
  for (const { group, parameters, indices } of calls) {
    const of = (i: number): Float64Array => scalars.of(program, group, parameters[i], steps[indices[i]] + 1);
    // They mostly share their scalars, and then this looks at nothing of a parameter but its number of updates.
    const step = steps[indices[0]];
    const shared = !scalars.differ(program) && indices.every((index) => steps[index] === step) ? of(0) : undefined;
    for (let i = 0; i < indices.length; i++) all.push(shared ?? of(i));
  }
  return all;
}

/** Counts a step. */
export function take<B>(
  run: Training<B>,
  members: readonly PlannedParameter[],
  { loss, accept }: Evaluated,
): StepReport {
  accept?.();
  run.collected = undefined;
  run.step++;
  run.memory.count(members, 1);
  if (loss !== undefined) run.scalars.report('loss', loss);
  return report(run, 'taken', loss);
}

/** Takes a step out of the count. */
export function untake<B>(run: Training<B>, members: readonly PlannedParameter[]): void {
  run.step--;
  run.memory.count(members, -1);
}

/** Passes over a step. */
export function skip<B>(run: Training<B>, { loss }: Evaluated): StepReport {
  run.skipped++;
  run.plan.phases?.skipped(run);
  return report(run, 'skipped', loss);
}

export function report<B>({ step }: Training<B>, outcome: StepReport['outcome'], loss: number | undefined): StepReport {
  return { step, outcome, ...(loss !== undefined && { loss }) };
}

/**
 * Whether the step must be skipped.
 *
 * @param late gets the checks whose outcome is not known yet, and counts as good until then
 * @throws AdakitError `non-finite`
 */
export function* refused<B>(
  run: Training<B>,
  members: readonly PlannedParameter[],
  { loss, whole }: Evaluated,
  late: LateChecks,
): Work<boolean> {
  let bad = whole?.nonFinite;
  if (bad === undefined) {
    const check = yield* wait(run.memory.device.nonFinite(run.memory.gradients(members)));
    if ('later' in check) late.push(check.later);
    bad = 'later' in check ? [] : check.map((i) => members[i].name);
  }
  const lossIsFinite = loss === undefined || Number.isFinite(loss);
  if (bad.length === 0 && lossIsFinite) return false;
  if (skips(run, lossIsFinite)) return true;
  throw nonFiniteError(bad, loss, run.step + 1);
}

/** Whether a step that is not finite is passed over without an error. Overflow is what loss scaling looks for. */
function skips<B>({ lossScale, options }: Training<B>, lossIsFinite = true): boolean {
  return (lossScale !== undefined && lossIsFinite) || (options.nonFinite ?? 'refuse') !== 'refuse';
}

/** Takes back a step, all of whose writes are masked, when a check of it fails. Call it before the step is counted. */
export function watch<B>(
  run: Training<B>,
  late: LateChecks,
  members: readonly PlannedParameter[],
  undo: () => void,
): void {
  if (late.length === 0) return;
  const number = run.step + 1;
  const check = Promise.all(late).then(
    (positions) => {
      const bad = members.filter((_, i) => positions.some((list) => list.includes(i)));
      if (bad.length === 0) return;
      undo();
      if (skips(run)) skip(run, {});
      else run.failure = nonFiniteError(bad.map(({ name }) => name), undefined, number); // prettier-ignore
    },
    (error: unknown) => {
      run.failure = error as Error;
    },
  );
  const known = check.finally(() => run.checks.delete(known));
  run.checks.add(known);
}

function nonFiniteError(bad: readonly string[], loss: number | undefined, step: number): AdakitError {
  const names = bad.map((name) => `"${name}"`);
  const more = names.length > 5 ? ` and ${names.length - 5} more` : '';
  const what = [
    ...(loss === undefined || Number.isFinite(loss) ? [] : [`the loss is ${String(loss)}`]),
    ...(names.length === 0 ? [] : [`the gradients of ${names.slice(0, 5).join(', ')}${more} are not finite`]),
  ];
  return new AdakitError(
    'non-finite',
    `${what.join(', and ')} at step ${step}; nothing has been updated. ` +
      'Look for non-finite inputs, lower the learning rate, clip gradients, or go back to an earlier state',
  );
}
