import { AdakitError } from '../errors.js';
import type { HyperparameterValues } from '../optimizer/hyperparameters.js';
import type { PlanGroup } from '../plan/plan.js';
import type { Training } from './training.js';

/**
 * Hyperparameters as the next step has them, with what schedules and plateaus make of them. A wrapper's are named with it.
 *
 * @param group name of a group. Default: what parameters have that no group chooses
 * @throws AdakitError `unknown-parameter` for a group that there is not
 */
export function hyperparametersNow<B>(
  { plan, scalars: { plateaus }, step }: Training<B>,
  group: string | undefined,
): HyperparameterValues {
  const { path, pieces } = groupNamed(plan.groups, group);
  const values = pieces.flatMap(({ prefix, hyperparameters, schedules }) =>
    Object.entries(hyperparameters).map(([name, value]) => {
      const schedule = Object.hasOwn(schedules, name) ? schedules[name] : undefined;
      const factor = schedule?.factorAt(step + 1, plateaus.get(`${path}:${prefix}${name}`)?.factor);
      return [prefix + name, factor === undefined ? value : Number(value) * factor] as const;
    }),
  );
  return Object.fromEntries(values);
}

function groupNamed(groups: readonly PlanGroup[], name: string | undefined): PlanGroup {
  const namesOf = ({ path }: PlanGroup): string[] => path.split(/[/+]/).filter((part) => part !== '' && part !== '*');
  const found = groups.find((group) =>
    name === undefined ? namesOf(group).length === 0 : namesOf(group).includes(name),
  );
  if (found !== undefined) return found;
  const problem = name === undefined ? 'every parameter is in a group' : `there is no group "${name}"`;
  const known = [...new Set(groups.flatMap(namesOf))].join(', ') || 'none';
  throw new AdakitError('unknown-parameter', `${problem}; the groups that have chosen parameters are ${known}`);
}
