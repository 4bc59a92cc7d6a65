import { deviceInputs } from '../device/device.js';
import type { PlannedParameter, Stage } from '../plan/plan.js';
import { elementCount, type NamedTensors } from '../tensor/tensor-data.js';
import { AdakitError } from '../errors.js';
import { wait, type Work } from './drive.js';
import {
  contextOf,
  membersOf,
  reduceGradients,
  refused,
  report,
  runCalls,
  skip,
  take,
  untake,
  watch,
  type LateChecks,
} from './step.js';
import { needsEstimate } from './needs-estimate.js';
import type { GradientSource, StepOptions, StepReport } from './step-types.js';
import type { Memory } from './memory.js';
import { readTensors } from './read.js';
import type { Training } from './training.js';
import type { CollectedBatches, OverallState } from './training-state.js';

/**
 * What a run needs for components with more phases than `update`: totals over parameters, batches that are collected, a
 * second gradient, a loss that is scaled, and views. Such components bring it.
 */
export interface PhasedRun {
  /** Starts the numbers of all parameters and the loss scale, as far as they have not been started. */
  start<B>(run: Training<B>, from?: OverallState): void;
  step<B>(run: Training<B>, source: GradientSource<B>, options: StepOptions): Work<StepReport>;
  /** A step has been passed over. */
  skipped<B>(run: Training<B>): void;
  weights<B>(run: Training<B>, view: string): Work<NamedTensors>;
  /** Numbers of all parameters together. */
  globals<B>(run: Training<B>): Work<Readonly<Record<string, number>>>;
}

export const phasedRun: PhasedRun = { start, step, skipped: lowerLossScale, weights, globals };

function start<B>(run: Training<B>, from: OverallState | undefined = run.options.resume): void {
  const { plan, memory } = run;
  for (const { name, start } of plan.globals) {
    if (memory.numbers.has(`global.${name}`)) continue;
    memory.device.write(numberOf(memory, `global.${name}`), from?.globals?.[name] ?? start);
  }
  const { lossScale } = plan;
  run.lossScale =
    lossScale && (run.lossScale ?? from?.lossScale ?? { scale: Number(lossScale.initial.initialScale), good: 0 });
}

/** The buffer of a number of all parameters, made where it is missing. */
function numberOf<B>({ device, numbers }: Memory<B>, name: string): B {
  let buffer = numbers.get(name);
  if (buffer === undefined) numbers.set(name, (buffer = device.allocate([[1]])[0][0]));
  return buffer;
}

function* step<B>(run: Training<B>, source: GradientSource<B>, { samples = 1 }: StepOptions): Work<StepReport> {
  const { plan, memory, collected: before } = run;
  const batches = (before?.batches ?? 0) + 1;
  const allSamples = (before?.samples ?? 0) + samples;
  const estimated = needsEstimate(run);
  run.scalars.begin({ step: run.step + 1, lossScale: run.lossScale?.scale ?? 1, samples, allSamples, estimated });
  const complete =
    plan.batches === undefined || batches >= run.scalars.value(plan.batches.group, plan.batches.piece, 'every');
  const stages = complete ? [...plan.batchStages, ...plan.stages] : plan.batchStages;

  const late: LateChecks = [];
  if (complete && plan.estimate !== undefined) {
    memory.records.forEach((record, i) => {
      record.estimate ??= memory.device.allocate([[elementCount(plan.parameters[i].shape)]])[0][0];
    });
    if (estimated && !(yield* takeEstimate(run, source, late))) return skip(run, {});
  }
  const evaluated = yield* wait(source.evaluate(contextOf(run, stages)));
  const active = membersOf(run, evaluated);
  if (yield* refused(run, active, evaluated, late)) return skip(run, evaluated);
  // A step of several batches is one for every parameter that had a gradient in any of them.
  const members = before === undefined ? active : withCollected(run, active, before);
  if (evaluated.whole !== undefined) evaluated.whole.commit();
  else {
    yield* reduceGradients(run);
    if (complete && plan.perturbStages.length > 0 && !(yield* takeAgain(run, source, active, late))) {
      return skip(run, evaluated);
    }
    yield* runStages(run, plan.batchStages, active);
    if (complete) yield* runStages(run, plan.stages, members);
  }
  watch(run, late, active, () => {
    if (complete) {
      untake(run, members);
      run.collected ??= before;
    } else if (run.collected !== undefined) {
      const { batches, samples: all, without } = run.collected;
      const others = { batches: batches - 1, samples: all - samples, ...(without && { without }) };
      run.collected = batches > 1 ? others : undefined;
    }
  });
  if (complete) {
    growLossScale(run);
    return take(run, members, evaluated);
  }
  evaluated.accept?.();
  const collecting = new Set(members);
  const without = plan.parameters.flatMap((parameter) => (collecting.has(parameter) ? [] : [parameter.name]));
  run.collected = { batches, samples: allSamples, ...(without.length > 0 && { without }) };
  return report(run, 'collected', evaluated.loss);
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

function* runStages<B>(run: Training<B>, stages: readonly Stage[], active: readonly PlannedParameter[]): Work<void> {
  const { memory, scalars } = run;
  for (const stage of stages) {
    if (stage.kind === 'total') {
      const { program, group } = stage;
      yield* wait(memory.bindTotal(program).run([scalars.of(program, group)]));
      continue;
    }
    for (const sum of stage.sums) memory.device.write(numberOf(memory, sum), 0);
    for (const largest of stage.largest) memory.device.write(numberOf(memory, largest), -Infinity);
    yield* runCalls(run, stage, active);
  }
}

/**
 * Has the source estimate, and keeps what it gives beside the gradients that follow.
 *
 * @returns whether it is good
 * @throws AdakitError `invalid-plan` for a source that cannot
 */
function* takeEstimate<B>(run: Training<B>, source: GradientSource<B>, late: LateChecks): Work<boolean> {
  if (source.estimate === undefined) {
    throw new AdakitError(
      'invalid-plan',
      `this optimizer takes in a second gradient at step ${run.step + 1}, of labels drawn from the model's own output; ` +
        'give it: applyGradients(gradients, { estimate }), or a source with estimate()',
    );
  }
  const estimate = yield* wait(source.estimate(contextOf(run, [])));
  const members = membersOf(run, estimate);
  if (yield* refused(run, members, estimate, late)) return false;
  yield* reduceGradients(run);
  const { device, records } = run.memory;
  const given = new Set(members.map(({ index }) => index));
  records.forEach(({ grad, estimate: kept }, index) => {
    if (kept === undefined) return;
    // What the loss does not depend on has a gradient of zero.
    if (given.has(index)) device.copy(grad, kept);
    else device.write(kept, 0);
  });
  return true;
}

/**
 * Gradients at the perturbed point; the parameters are back where they were in any case.
 *
 * @returns whether they are good
 */
function* takeAgain<B>(
  run: Training<B>,
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
    const again = yield* wait(source.evaluate(contextOf(run, [])));
    if (yield* refused(run, active, again, late)) return false;
    yield* reduceGradients(run);
    return true;
  } finally {
    for (const { origin, param } of records) if (origin !== undefined) device.copy(origin, param);
  }
}

function growLossScale<B>(run: Training<B>): void {
  const piece = run.plan.lossScale;
  if (run.lossScale === undefined || piece === undefined) return;
  const { growth, interval } = piece.hyperparameters;
  const { scale, good } = run.lossScale;
  run.lossScale = good + 1 >= Number(interval) ? { scale: scale * Number(growth), good: 0 } : { scale, good: good + 1 };
}

function lowerLossScale<B>(run: Training<B>): void {
  const piece = run.plan.lossScale;
  if (run.lossScale === undefined || piece === undefined) return;
  run.lossScale = { scale: run.lossScale.scale * Number(piece.hyperparameters.backoff), good: 0 };
}

function* weights<B>(run: Training<B>, view: string): Work<NamedTensors> {
  const { plan, memory, scalars } = run;
  const scratch: B[] = [];
  scalars.begin({ step: run.step, lossScale: 1, samples: 1, allSamples: 1 });
  for (const parameter of plan.parameters) {
    const { shape, extents, index, group } = parameter;
    const record = memory.records[index];
    const program = plan.views[view][index];
    if (program === undefined || memory.steps[index] === 0) {
      scratch.push(record.param);
      continue;
    }
    const [[buffer]] = memory.device.allocate([[elementCount(shape)]]);
    scratch.push(buffer);
    const buffers = { ...memory.buffersOf(deviceInputs(program), record), view: buffer };
    const bound = memory.kernel(program).bind([{ buffers, extents, shape }]);
    yield* wait(bound.run([scalars.of(program, group, parameter, memory.steps[index])]));
  }
  const result = yield* readTensors(run, scratch);
  memory.device.free(scratch.filter((buffer, i) => buffer !== memory.records[i].param));
  return result;
}

function* globals<B>({ plan, memory }: Training<B>): Work<Readonly<Record<string, number>>> {
  const readings = plan.globals.map(
    ({ name }) => [name, memory.device.read(memory.numbers.get(`global.${name}`) as B)] as const,
  );
  const result: Record<string, number> = {};
  for (const [name, reading] of readings) result[name] = (yield* wait(reading))[0];
  return result;
}
