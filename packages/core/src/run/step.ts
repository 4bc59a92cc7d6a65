import { AdakitError } from '../errors.js';
import type { PlannedParameter, Stage } from '../plan/plan.js';
import { wait, type Work } from './work.js';
import type { BoundProgram } from './memory.js';
import { Training } from './training.js';
import type { Evaluated, GradientContext, GradientSource, StepOptions, StepReport } from './step-types.js';

/** Checks whose outcome is not known yet. */
export type LateChecks = Promise<readonly number[]>[];

/** A step of an optimizer that has nothing but updates: gradients, whether they are finite, and one program a parameter. */
export function* plainStep<B>(
  run: Steps<B>,
  source: GradientSource<B>,
  { samples = 1 }: StepOptions,
): Work<StepReport> {
  const { stages } = run.plan;
  run.begin(samples);
  const evaluated = yield* wait(source.evaluate(run.context(stages)));
  const members = run.members(evaluated);
  const late: LateChecks = [];
  if (yield* run.refuses(members, evaluated, late)) return run.skip(evaluated);
  if (evaluated.whole === undefined) {
    yield* run.reduceGradients();
    for (const stage of stages) yield* run.call(stage, members);
  } else evaluated.whole.commit();
  run.watch(late, members, () => {
    run.untake(members);
  });
  return run.take(members, evaluated);
}

/** What steps of all kinds are made of: a run has it for those that rules bring along. */
export class Steps<B> extends Training<B> {
  /** Whether the next step takes in a second gradient: steps 1, 1 + `every`, … do, where the optimizer has one. */
  get needsEstimate(): boolean {
    const { estimate } = this.plan;
    return estimate !== undefined && this.step % Number(estimate.hyperparameters.every) === 0;
  }

  /** Begins a step of so many samples, or a batch of one. */
  begin(samples: number, allSamples = samples): void {
    const { needsEstimate: estimated, lossScale } = this;
    this.scalars.begin({ step: this.step + 1, lossScale: lossScale?.scale ?? 1, samples, allSamples, estimated });
  }

  /** What a source works on. @param stages that follow on its gradients */
  context(stages: readonly Stage[]): GradientContext<B> {
    const { plan, memory, scalars } = this;
    return {
      ...this.buffers,
      lossScale: this.lossScale?.scale ?? 1,
      step: this.step + 1,
      batch: this.collected?.batches ?? 0,
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
  members({ gradients }: Evaluated): readonly PlannedParameter[] {
    const { parameters } = this.plan;
    if (gradients === undefined) return parameters;
    const names = new Set(gradients);
    return parameters.filter(({ name }) => names.has(name));
  }

  *reduceGradients(): Work<void> {
    yield* wait(this.options.reduceGradients?.(this.buffers.gradients));
  }

  /** Runs the programs of a stage on some parameters. */
  *call(stage: Stage, members: readonly PlannedParameter[]): Work<void> {
    if (stage.kind === 'total') return;
    for (const bound of this.memory.bindStage(stage, members)) yield* wait(bound.kernel.run(this.#scalarsOf(bound)));
  }

  /** The scalars of each parameter that a program is bound to. */
  #scalarsOf({ program, calls }: BoundProgram): Float64Array[] {
    const { scalars, memory } = this;
    const { steps } = memory;
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
  take(members: readonly PlannedParameter[], { loss, accept }: Evaluated): StepReport {
    accept?.();
    this.collected = undefined;
    this.step++;
    this.memory.count(members, 1);
    if (loss !== undefined) this.scalars.report('loss', loss);
    return this.report('taken', loss);
  }

  /** Takes a step out of the count. */
  untake(members: readonly PlannedParameter[]): void {
    this.step--;
    this.memory.count(members, -1);
  }

  /** Passes over a step. */
  skip({ loss }: Evaluated): StepReport {
    this.skipped++;
    this.plan.phases?.rescale(this, 'skipped');
    return this.report('skipped', loss);
  }

  report(outcome: StepReport['outcome'], loss: number | undefined): StepReport {
    return { step: this.step, outcome, ...(loss !== undefined && { loss }) };
  }

  /**
   * Whether the step must be skipped.
   *
   * @param late gets the checks whose outcome is not known yet, and counts as good until then
   * @throws AdakitError `non-finite`
   */
  *refuses(members: readonly PlannedParameter[], { loss, whole }: Evaluated, late: LateChecks): Work<boolean> {
    let bad = whole?.nonFinite;
    if (bad === undefined) {
      const check = yield* wait(this.memory.device.nonFinite(this.memory.gradients(members)));
      bad = [];
      if ('later' in check) late.push(check.later);
      else bad = check.map((i) => members[i].name);
    }
    const lossIsFinite = loss === undefined || Number.isFinite(loss);
    if (bad.length === 0 && lossIsFinite) return false;
    if (this.#skips(lossIsFinite)) return true;
    throw nonFiniteError(bad, loss, this.step + 1);
  }

  /** Whether a step that is not finite is passed over without an error. Overflow is what loss scaling looks for. */
  #skips(lossIsFinite = true): boolean {
    return (this.lossScale !== undefined && lossIsFinite) || (this.options.nonFinite ?? 'refuse') !== 'refuse';
  }

  /** Takes back a step, all of whose writes are masked, when a check of it fails. Call it before the step is counted. */
  watch(late: LateChecks, members: readonly PlannedParameter[], undo: () => void): void {
    if (late.length === 0) return;
    const number = this.step + 1;
    const check = Promise.all(late).then(
      (positions) => {
        const bad = members.filter((_, i) => positions.some((list) => list.includes(i)));
        if (bad.length === 0) return;
        undo();
        if (this.#skips()) this.skip({});
        else this.failure = nonFiniteError(bad.map(({ name }) => name), undefined, number); // prettier-ignore
      },
      (error: unknown) => {
        this.failure = error as Error;
      },
    );
    const known = check.finally(() => this.checks.delete(known));
    this.checks.add(known);
  }
}

export function nonFiniteError(bad: readonly string[], loss: number | undefined, step: number): AdakitError {
  const names = bad.map((name) => `"${name}"`);
  const more = names.length > 5 ? ` and ${names.length - 5} more` : '';
  const what = [
    ...(loss === undefined || Number.isFinite(loss) ? [] : [`the loss is ${loss}`]),
    ...(names.length === 0 ? [] : [`the gradients of ${names.slice(0, 5).join(', ')}${more} are not finite`]),
  ];
  return new AdakitError(
    'non-finite',
    `${what.join(', and ')} at step ${step}; nothing has been updated. ` +
      'Look at the inputs, lower the learning rate or clip gradients',
  );
}
