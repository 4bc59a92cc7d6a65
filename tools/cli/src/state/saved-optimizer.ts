import type { Optimizer, OptimizerConfig, ParameterSpec, Plan, TrainingState } from '@adakit/core';
import { checkOutline, type StateOutline } from '@adakit/core/states';
import { outlineOf } from '@adakit/state';
import type { OpenState } from '@adakit/state/node';
import { installHint } from '@adakit/plugins';
import { knowsPieces, optimizerOf } from '../optimizers.js';
import { UsageError } from '../usage-error.js';

/**
 * The optimizer of a state file with all its settings, and its plan for the parameters there, without reading a tensor.
 *
 * @throws UsageError for an optimizer unknown to this command; AdakitError when the tensors in the file are not those
 * that it keeps
 */
export function savedOptimizer(state: Pick<OpenState, 'document' | 'tensors' | 'path'>): {
  readonly optimizer: Optimizer;
  readonly plan: Plan;
} {
  const outline = outlineOf(state.document, state.tensors, state.path);
  requireKnown(outline.optimizer, state.document.origin.versions, state.path);
  return checkOutline(outline, optimizerOf(outline.optimizer), specsOf(outline));
}

/**
 * Where a state names the package of its optimizer, says so in place of a list of those that come with the command.
 *
 * @throws UsageError for an optimizer of a package, which this command does not load
 */
export function requireKnown(optimizer: OptimizerConfig, versions: TrainingState['versions'], path: string): void {
  const hint = installHint(versions);
  if (hint === undefined || knowsPieces(optimizer)) return;
  throw new UsageError(
    `${path}: its optimizer is in a package of its own, with which adakit train goes on from it (${hint}); ` +
      'this command knows those that come with it',
  );
}

/** The parameters of a file as optimizers see them. */
export function specsOf({ parameters }: Pick<StateOutline, 'parameters'>): ParameterSpec[] {
  return Object.entries(parameters).map(([name, { shape, role, units }]) => ({
    name,
    shape,
    ...(role && { role }),
    ...(units && { units }),
  }));
}
