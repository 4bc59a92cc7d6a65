import { AdakitError } from '../errors.js';
import type { HyperparameterValues } from '../optimizer/hyperparameters.js';
import type { Configured } from '../optimizer/node.js';
import type { Piece, Plan, PlanGroup } from '../plan/plan.js';
import type { HostScalars } from './host-scalars.js';
import type { Training } from './training.js';

/**
 * Hyperparameters as the next step has them, with what schedules and plateaus make of them. A wrapper's are named with it.
 *
 * @param group name of a group. Default: what parameters have that no group chooses; the main rule's alone where there are none
 * @throws AdakitError `unknown-parameter` for a group that there is not
 */
export function hyperparametersNow(
  { plan, plateaus, step }: Pick<Training<unknown>, 'plan' | 'step'> & Pick<HostScalars, 'plateaus'>,
  group: string | undefined,
): HyperparameterValues {
  const { path, pieces } = group === undefined ? ofTheRest(plan) : groupNamed(plan.groups, group);
  const values = pieces.flatMap(({ prefix, hyperparameters, schedules }) =>
    Object.entries(hyperparameters).map(([name, value]) => {
      const schedule = Object.hasOwn(schedules, name) ? schedules[name] : undefined;
      const factor = schedule?.factorAt(step + 1, plateaus.get(`${path}:${prefix}${name}`)?.factor);
      return [prefix + name, factor === undefined ? value : Number(value) * factor] as const;
    }),
  );
  return Object.fromEntries(values);
}

type Settings = Pick<PlanGroup, 'path'> & { readonly pieces: readonly (Configured & Pick<Piece, 'prefix'>)[] };

function ofTheRest({ groups, optimizer }: Plan): Settings {
  const rest = groups.find((group) => namesOf(group).length === 0);
  return rest ?? { path: '', pieces: [{ ...optimizer.node.rule, prefix: '' }] };
}

function groupNamed(groups: readonly PlanGroup[], name: string): Settings {
  const found = groups.find((group) => namesOf(group).includes(name));
  if (found !== undefined) return found;
  const known = [...new Set(groups.flatMap(namesOf))].join(', ') || 'none';
  throw new AdakitError(
    'unknown-parameter',
    `there is no group "${name}"; the groups that have chosen parameters are ${known}`,
  );
}

function namesOf({ path }: PlanGroup): string[] {
  return path.split(/[/+]/).filter((part) => part !== '' && part !== '*');
}
