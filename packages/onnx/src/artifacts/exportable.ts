import type { Plan, Stage } from '@adakit/core';
import { OnnxError } from '../error.js';
import { stepStages } from '../optimizer/emit-plan.js';

/**
 * Refuses what graphs without a host cannot do.
 *
 * @throws OnnxError `unsupported-optimizer` naming the piece, and what to do instead
 */
export function requireExportable(plan: Plan): void {
  const refuse = (what: string, instead: string): never => {
    throw new OnnxError('unsupported-optimizer', `${what} cannot be exported: ${instead}`);
  };
  if (plan.batches !== undefined) {
    refuse(
      'accumulate()',
      'leave it out; training_model.onnx adds up the gradients of as many batches as it is run on',
    );
  }
  if (plan.perturbStages.length > 0) {
    refuse('sam()', 'it takes the gradient twice a step, and a graph has one; leave it out');
  }
  if (plan.estimate !== undefined) {
    const { name } = plan.estimate.component;
    refuse(
      name,
      'it takes in a second gradient every so many steps, of labels that are drawn, and the graphs have one gradient a step; ' +
        'train with a TrainingSession (adakit train), or export another optimizer, such as adamw or lion',
    );
  }
  if (plan.lossScale !== undefined) {
    refuse('lossScaling()', 'its factor follows from which steps were refused, which a host decides; leave it out');
  }
  for (const program of stepStages(plan).flatMap(programsOf)) {
    if (program.instructions.some(({ form }) => form === 'random')) {
      refuse(`the random numbers of ${program.name}`, 'they come from a generator of adakit; leave the noise out');
    }
  }
}

function programsOf(stage: Stage) {
  return stage.kind === 'total' ? [stage.program] : stage.calls.map(({ program }) => program);
}
