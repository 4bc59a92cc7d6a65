import type { SourceRun, TrainingState } from '@adakit/core';
import { requireState } from '@adakit/core/states';
import { ready } from '@tensorflow/tfjs-core';
import type { Cell } from '../device/cell.js';
import { assign } from './variable-values.js';
import { variablesFor, type FoundVariables, type KnownVariables } from './variables-for.js';
import { assertTrainable, runParameters, type Variables } from './variables.js';

/** What an optimizer knows and has so far. */
interface Known extends KnownVariables {
  /** The run in whose place the next one comes: it may be disposed while this works. */
  readonly run: Pick<SourceRun<Cell>, 'assertAlive'>;
}

/**
 * Goes on from a state.
 *
 * @param next a run without parameters, which gets those of the state; disposed when it does not fit
 * @param variables see {@link variablesFor}
 * @param known gets the statistics of the state
 * @param adopt puts it in the place of the run before, with the variables to train and their names in the state
 * @throws AdakitError listing all that does not fit; no variable has changed then; `disposed`
 */
export async function loadState(
  next: SourceRun<Cell>,
  state: TrainingState,
  variables: Variables | undefined,
  known: Known,
  adopt: (names: FoundVariables['names']) => void,
): Promise<void> {
  try {
    await ready();
    known.run.assertAlive();
    requireState(state);
    const { names, statistics, others } = variablesFor(state, variables, known);
    for (const [variable, name] of names) assertTrainable(`variable "${name}"`, variable);
    next.add(runParameters(names));
    await next.load(state);
    known.run.assertAlive();
    for (const [name, variable, value] of statistics) {
      assign(variable, value);
      known.statistics.add(variable, name);
    }
    const { random } = state;
    known.statistics.others = {
      ...(Object.keys(others).length > 0 && { statistics: others }),
      ...(random && { random }),
    };
    adopt(names);
  } catch (error) {
    void next.dispose();
    throw error;
  }
}
