import type { PlannedParameter, Stage } from '../plan/plan.js';
import { viewProgram } from '../plan/views.js';
import type { Program } from '../program/program.js';
import { elementCount } from '../tensor/tensor-data.js';
import { wait, type Work } from './work.js';
import type { LateChecks, Steps } from './step.js';
import type { GradientSource, StepOptions, StepReport } from './step-types.js';
import type { Memory } from './memory.js';
import type { Training } from './training.js';
import type { CollectedBatches, OverallState } from './training-state.js';

/**
 * What a run needs for components with more phases than `update`: totals over parameters, batches that are collected, a
 * gradient that is taken twice, a loss that is scaled. Such components bring it.
 */
export interface PhasedRun {
  /** Starts the numbers of all parameters and the loss scale, as far as they have not been started. */
  start<B>(run: Training<B>, from?: OverallState): void;
  step<B>(run: Steps<B>, source: GradientSource<B>, options: StepOptions): Work<StepReport>;
  /** A step has been passed over. */
  skipped<B>(run: Training<B>): void;
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

export const phasedRun: PhasedRun = { start, step, skipped, view: viewProgram, globals };

function start<B>(run: Training<B>, from: OverallState | undefined = run.options.resume): void {
  const { plan, memory } = run;
  for (const { name, start } of plan.globals) {
    if (memory.numbers.has(`global.${name}`)) continue;
    memory.device.write(numberOf(memory, `global.${name}`), from?.globals?.[name] ?? start);
  }
  const { lossScale } = plan;
  run.lossScale =
    lossScale && (run.lossScale ?? from?.lossScale ?? lossScale.component.lossScaling?.start(lossScale.initial));
}

/** The buffer of a number of all parameters, made where it is missing. */
function numberOf<B>({ device, numbers }: Memory<B>, name: string): B {
  let buffer = numbers.get(name);
  if (buffer === undefined) numbers.set(name, (buffer = device.allocate([[1]])[0][0]));
  return buffer;
}

function* step<B>(run: Steps<B>, source: GradientSource<B>, { samples = 1 }: StepOptions): Work<StepReport> {
  const { plan, collected: before } = run;
  const batches = (before?.batches ?? 0) + 1;
  const allSamples = (before?.samples ?? 0) + samples;
  const { needsEstimate: estimated } = run;
  run.scalars.begin({ step: run.step + 1, lossScale: run.lossScale?.scale ?? 1, samples, allSamples, estimated });
  const complete =
    plan.batches === undefined || batches >= run.scalars.value(plan.batches.group, plan.batches.piece, 'every');
  const stages = complete ? [...plan.batchStages, ...plan.stages] : plan.batchStages;

  const late: LateChecks = [];
  const second = plan.estimate?.component.secondGradient;
  if (complete && second && !(yield* second.take(run, source, late))) return run.skip({});
  const evaluated = yield* wait(source.evaluate(run.context(stages)));
  const active = run.members(evaluated);
  if (yield* run.refuses(active, evaluated, late)) return run.skip(evaluated);
  // A step of several batches is one for every parameter that had a gradient in any of them.
  const members = before === undefined ? active : withCollected(run, active, before);
  if (evaluated.whole !== undefined) evaluated.whole.commit();
  else {
    yield* run.reduceGradients();
    if (complete && plan.perturbStages.length > 0 && !(yield* takeAgain(run, source, active, late))) {
      return run.skip(evaluated);
    }
    yield* runStages(run, plan.batchStages, active);
    if (complete) yield* runStages(run, plan.stages, members);
  }
  run.watch(late, active, () => {
    if (complete) {
      run.untake(members);
      run.collected ??= before;
    } else if (run.collected !== undefined) {
      const { batches, samples: all, without } = run.collected;
      const others = { batches: batches - 1, samples: all - samples, ...(without && { without }) };
      run.collected = batches > 1 ? others : undefined;
    }
  });
  if (complete) {
    rescale(run, 'taken');
    return run.take(members, evaluated);
  }
  evaluated.accept?.();
  const collecting = new Set(members);
  const without = plan.parameters.flatMap((parameter) => (collecting.has(parameter) ? [] : [parameter.name]));
  run.collected = { batches, samples: allSamples, ...(without.length > 0 && { without }) };
  return run.report('collected', evaluated.loss);
}

/** The parameters that take part, or did in a batch before. */
function withCollected<B>(
  { plan: { parameters } }: Training<B>,
  active: readonly PlannedParameter[],
  { without = [] }: CollectedBatches,
): readonly PlannedParameter[] {
  if (without.length === 0) return parameters;
  return parameters.filter((parameter) => active.includes(parameter) || !without.includes(parameter.name));
}

function* runStages<B>(run: Steps<B>, stages: readonly Stage[], active: readonly PlannedParameter[]): Work<void> {
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

/**
 * Gradients at the perturbed point; the parameters are back where they were in any case.
 *
 * @returns whether they are good
 */
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

function skipped<B>(run: Training<B>): void {
  rescale(run, 'skipped');
}

/** Changes the loss scale after a step. */
function rescale<B>(run: Training<B>, outcome: 'taken' | 'skipped'): void {
  const { lossScale: piece } = run.plan;
  if (run.lossScale === undefined || piece === undefined) return;
  run.lossScale = piece.component.lossScaling?.[outcome](run.lossScale, piece.hyperparameters);
}

function* globals<B>({ plan, memory }: Training<B>): Work<Readonly<Record<string, number>>> {
  const readings = plan.globals.map(
    ({ name }) => [name, memory.device.read(memory.numbers.get(`global.${name}`) as B)] as const,
  );
  const result: Record<string, number> = {};
  for (const [name, reading] of readings) result[name] = (yield* wait(reading))[0];
  return result;
}
