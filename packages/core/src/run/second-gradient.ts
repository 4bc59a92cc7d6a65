import type { Checking } from '../component/component.js';
import { AdakitError } from '../errors.js';
import { programsOf, type Piece, type PlannedParameter } from '../plan/plan.js';
import { elementCount } from '../tensor/tensor-data.js';
import { wait, type Work } from './work.js';
import type { LateChecks, Steps } from './step.js';
import type { GradientSource } from './step-types.js';

/** What plans and takes in the estimate that a component reads: see {@link secondGradient}. */
export interface SecondGradient extends Checking {
  /**
   * Who reads it of the pieces of some parameters.
   *
   * @throws AdakitError `invalid-plan` for two that may want it at other steps, and for a loss that is scaled
   */
  reader(parameters: readonly PlannedParameter[]): Piece | undefined;
  /**
   * Has the source estimate where the step needs it, and keeps what it gives beside the gradients that follow.
   *
   * @returns whether it is good
   * @throws AdakitError `invalid-plan` for a source that cannot
   */
  take<B>(run: Steps<B>, source: GradientSource<B>, late: LateChecks): Work<boolean>;
}

/** For components that read {@link Inputs.estimate}: they bring what asks for it, so that others need not load it. */
export const secondGradient: SecondGradient = { reader, take };

function reader(parameters: readonly PlannedParameter[]): Piece | undefined {
  const readers = parameters.flatMap((parameter) =>
    parameter.group.pieces.filter((piece) => programsOf(piece, parameter).readsEstimate),
  );
  const first = readers.at(0);
  if (first === undefined) return undefined;
  if (readers.some(({ hyperparameters }) => hyperparameters.every !== first.hyperparameters.every)) {
    throw new AdakitError(
      'invalid-plan',
      'two groups take in an estimate at different steps; give both the same "every"',
    );
  }
  if (parameters.some(({ group }) => group.pieces.some(({ component }) => component.brings?.lossScaling))) {
    throw new AdakitError(
      'invalid-plan',
      `${first.component.name} and lossScaling() cannot be combined: its second gradient would arrive scaled as well; train in float32 or bfloat16`,
    );
  }
  return first;
}

function* take<B>(run: Steps<B>, source: GradientSource<B>, late: LateChecks): Work<boolean> {
  const { device, records } = run.memory;
  records.forEach((record, i) => {
    record.estimate ??= device.allocate([[elementCount(run.plan.parameters[i].shape)]])[0][0];
  });
  if (!run.needsEstimate) return true;
  if (source.estimate === undefined) {
    throw new AdakitError(
      'invalid-plan',
      `this optimizer takes in a second gradient at step ${run.step + 1}; give ` +
        'applyGradients(gradients, { estimate }), a source with estimate(), or in TensorFlow.js ' +
        'minimize() or fit() with drawnLabels() of @adakit/runner-tfjs/estimate',
    );
  }
  const estimate = yield* wait(source.estimate(run.context([])));
  const members = run.members(estimate);
  if (yield* run.refuses(members, estimate, late)) return false;
  yield* run.reduceGradients();
  const given = new Set(members.map(({ index }) => index));
  records.forEach(({ grad, estimate: kept }, index) => {
    if (kept === undefined) return;
    // What the loss does not depend on has a gradient of zero.
    if (given.has(index)) device.copy(grad, kept);
    else device.write(kept, 0);
  });
  return true;
}
