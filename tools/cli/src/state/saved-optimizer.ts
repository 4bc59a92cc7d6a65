import { type Optimizer, type ParameterSpec, type Plan } from '@adakit/core';
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
  const hint = installHint(state.document.origin.versions);
  if (hint !== undefined && !knowsPieces(outline.optimizer)) {
    throw new UsageError(`${state.path}: its optimizer is in a package of its own: ${hint}`);
  }
  return checkOutline(outline, optimizerOf(outline.optimizer), specsOf(outline));
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
