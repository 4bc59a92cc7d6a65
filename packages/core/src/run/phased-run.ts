import type { PlannedParameter, Stage } from '../plan/plan.js';
import { viewProgram } from '../plan/views.js';
import type { Program } from '../program/program.js';
import { wait, type Work } from './work.js';
import type { LateChecks, Steps } from './step.js';
import type { GradientSource, StepOptions, StepReport } from './step-types.js';
import type { Memory } from './memory.js';
import type { Training } from './training.js';
import type { OverallState } from './training-state.js';

/**
 * What a run needs for components with more phases than `update`: totals over parameters and what belongs to all of
 * them. Such components bring it, and {@link Brought} beside where they have such phases.
 */
export interface PhasedRun {
  /** Starts the numbers of all parameters and the loss scale, as far as they have not been started. */
  start<B>(run: Training<B>, from?: OverallState): void;
  step<B>(run: Steps<B>, source: GradientSource<B>, options: StepOptions): Work<StepReport>;
  /** Changes the loss scale after a step, or one that was passed over. */
  rescale<B>(run: Training<B>, outcome: 'taken' | 'skipped'): void;
  /**
   * The program that gives other weights of a parameter than those being trained, as its output `view`.
   *
   * @param view one of the plan's
   * @returns undefined for a parameter that has no such view
   */
  view(parameter: PlannedParameter, view: string): Program | undefined;
  /** Numbers of all parameters together. */
  globals<B>(run: Training<B>): Work<Readonly<Record<string, number>>>;
}

export const phasedRun: PhasedRun = { start, step, rescale, view: viewProgram, globals };

function start<B>(run: Training<B>, from: OverallState | undefined = run.options.resume): void {
  const { plan, memory } = run;
  for (const { name, start } of plan.globals) {
    if (memory.numbers.has(`global.${name}`)) continue;
    memory.device.write(numberOf(memory, `global.${name}`), from?.globals?.[name] ?? start);
  }
  const { lossScale } = plan;
  run.lossScale =
    lossScale &&
    (run.lossScale ?? from?.lossScale ?? lossScale.component.brings?.lossScaling?.start(lossScale.initial));
}

/** The buffer of a number of all parameters, made where it is missing. */
function numberOf<B>({ device, numbers }: Memory<B>, name: string): B {
  let buffer = numbers.get(name);
  if (buffer === undefined) numbers.set(name, (buffer = device.allocate([[1]])[0][0]));
  return buffer;
}

function step<B>(run: Steps<B>, source: GradientSource<B>, { samples = 1 }: StepOptions): Work<StepReport> {
  const collecting = run.plan.batches?.piece.component.brings?.collecting;
  return collecting ? collecting.step(run, source, samples, completeStep) : completeStep(run, source, samples);
}

/**
 * Takes a step with its last or only batch.
 *
 * @param allSamples in all of its batches
 * @param join those that take part, of those that do with this batch
 */
export type CompleteStep = typeof completeStep;

function* completeStep<B>(
  run: Steps<B>,
  source: GradientSource<B>,
  samples: number,
  allSamples = samples,
  join = (active: readonly PlannedParameter[]): readonly PlannedParameter[] => active,
): Work<StepReport> {
  const { plan, collected: before } = run;
  run.begin(samples, allSamples);
  const late: LateChecks = [];
  const second = plan.estimate?.component.brings?.secondGradient;
  if (second && !(yield* second.take(run, source, late))) return run.skip({});
  const evaluated = yield* wait(source.evaluate(run.context([...plan.batchStages, ...plan.stages])));
  const active = run.members(evaluated);
  if (yield* run.refuses(active, evaluated, late)) return run.skip(evaluated);
  const members = join(active);
  if (evaluated.whole === undefined) {
    yield* run.reduceGradients();
    const { perturbs } = plan;
    if (perturbs && !(yield* perturbs.takeAgain(run, source, active, late))) return run.skip(evaluated);
    yield* runStages(run, plan.batchStages, active);
    yield* runStages(run, plan.stages, members);
  } else evaluated.whole.commit();
  run.watch(late, active, () => {
    run.untake(members);
    run.collected ??= before;
  });
  rescale(run, 'taken');
  return run.take(members, evaluated);
}

/** Runs stages on the parameters that take part. */
export function* runStages<B>(
  run: Steps<B>,
  stages: readonly Stage[],
  active: readonly PlannedParameter[],
): Work<void> {
  const { memory, scalars } = run;
  for (const stage of stages) {
    if (stage.kind === 'total') {
      const { program, group } = stage;
      yield* wait(memory.bind(program).run([scalars.of(program, group)]));
      continue;
    }
    for (const sum of stage.sums) memory.device.write(numberOf(memory, sum), 0);
    for (const largest of stage.largest) memory.device.write(numberOf(memory, largest), -Infinity);
    yield* run.call(stage, active);
  }
}

function rescale<B>(run: Training<B>, outcome: 'taken' | 'skipped'): void {
  const { lossScale: piece } = run.plan;
  if (run.lossScale === undefined || piece === undefined) return;
  run.lossScale = piece.component.brings?.lossScaling?.[outcome](run.lossScale, piece.hyperparameters);
}

function* globals<B>({ plan, memory }: Training<B>): Work<Readonly<Record<string, number>>> {
  const readings = plan.globals.map(
    ({ name }) => [name, memory.device.read(memory.numbers.get(`global.${name}`) as B)] as const,
  );
  const result: Record<string, number> = {};
  for (const [name, reading] of readings) result[name] = (yield* wait(reading))[0];
  return result;
}
