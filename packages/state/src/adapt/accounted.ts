import { sameShape, type NamedTensors, type TrainingState } from '@adakit/core';
import { mismatch, quoted } from './mismatch.js';

/** Names of parameters that are not in both. */
interface Accounts {
  readonly added?: readonly string[];
  readonly removed?: readonly string[];
  readonly frozen?: readonly string[];
}

/**
 * Every parameter of the state and of the run must be in both or in exactly one of the lists.
 *
 * @throws AdakitError `state-mismatch` with everything that is not
 */
export function requireAccounted(state: TrainingState, parameters: NamedTensors, accounts: Accounts): void {
  const { added = [], removed = [], frozen = [] } = accounts;
  const saved = (name: string): boolean => Object.hasOwn(state.parameters, name);
  const running = (name: string): boolean => Object.hasOwn(parameters, name);
  const gone = [...removed, ...frozen];
  const problems = [
    complaint(
      Object.keys(parameters).filter((name) => !saved(name) && !added.includes(name)),
      'the run has',
      'list it in "added" to start it afresh',
    ),
    complaint(
      Object.keys(state.parameters).filter((name) => !running(name) && !gone.includes(name)),
      'only the state has',
      'list it in "removed" or "frozen"',
    ),
    complaint(
      added.filter((name) => saved(name) || !running(name)),
      '"added" lists',
      'which must be in the run and not in the state',
    ),
    complaint(
      gone.filter((name) => running(name) || !saved(name)),
      '"removed" or "frozen" lists',
      'which must be in the state and not in the run',
    ),
    complaint(
      gone.filter((name, i) => gone.indexOf(name) !== i),
      'it is listed twice:',
      'list it once',
    ),
    ...Object.entries(parameters).flatMap(([name, { shape }]) =>
      saved(name) && !sameShape(state.parameters[name].value.shape, shape)
        ? `"${name}" has shape [${state.parameters[name].value.shape.join(', ')}] in the state and [${shape.join(', ')}] in the run`
        : [],
    ),
  ].flat();
  if (problems.length > 0) throw mismatch(problems);
}

function complaint(names: readonly string[], what: string, advice: string): string[] {
  return names.length === 0 ? [] : [`${what} ${quoted(names)}; ${advice}`];
}
