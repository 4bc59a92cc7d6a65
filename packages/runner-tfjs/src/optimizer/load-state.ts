import type { SourceRun, TrainingState } from '@adakit/core';
import { requireState } from '@adakit/core/states';
import type { Cell } from '../device/cell.js';
import { assign } from './variable-values.js';
import { variablesFor, type FoundVariables, type KnownVariables } from './variables-for.js';
import { assertTrainable, runParameters, type Variables } from './variables.js';

/**
 * Goes on from a state.
 *
 * @param next a run without parameters, which gets those of the state; disposed when it does not fit
 * @param variables see {@link variablesFor}
 * @throws AdakitError listing all that does not fit; no variable has changed then
 */
export async function loadState(
  next: SourceRun<Cell>,
  state: TrainingState,
  variables: Variables | undefined,
  known: KnownVariables,
): Promise<FoundVariables> {
  try {
    requireState(state);
    const found = variablesFor(state, variables, known);
    for (const [variable, name] of found.names) assertTrainable(name, variable);
    next.add(runParameters(found.names));
    await next.load(state);
    for (const [, variable, value] of found.statistics) assign(variable, value);
    return found;
  } catch (error) {
    void next.dispose();
    throw error;
  }
}
