import { AdakitError, shown } from '../errors.js';
import { GroupsNode, type GroupNode } from './groups-node.js';
import type { HyperparameterValues } from './hyperparameters.js';
import type { ParameterMatch } from './match.js';
import { requireMatch } from './matching.js';
import type { Schedules } from './node.js';
import { Optimizer, requireOptimizer } from './optimizer.js';

/** What some of the parameters have of their own. */
export interface ParameterGroup {
  /** By which `setHyperparameters`, reports and states know it; without `/` and `+`. Default: `group1`, `group2`, … */
  readonly name?: string;
  /** Which parameters. One that chooses none is an error when training starts. */
  readonly match: ParameterMatch;
  /** Another optimizer for them. */
  readonly optimizer?: Optimizer;
  /** Or the same one with other hyperparameters, */
  readonly hyperparameters?: HyperparameterValues;
  /** and other schedules. */
  readonly schedules?: Schedules;
}

/**
 * Gives some parameters an optimizer or hyperparameters of their own. Where several groups choose a parameter, the later
 * adds to the earlier.
 *
 * @example
 * ```ts
 * groups([{ match: matrices, optimizer: muon({ lr: 0.02 }) }, { match: /bias$/, hyperparameters: { weightDecay: 0 } }], adam())
 * ```
 * @throws AdakitError naming the hyperparameter that is unknown or out of range, or the group whose name is taken or holds
 * what paths of groups are written with
 */
export function groups(list: readonly ParameterGroup[], rest: Optimizer): Optimizer {
  const given: unknown = list;
  if (!Array.isArray(given)) {
    throw new AdakitError('invalid-plan', `groups() takes a list such as [{ match: /bias$/, … }], got ${shown(given)}`);
  }
  const nodes = list.map((group, i): GroupNode => {
    if (Object(group) !== group) {
      throw new AdakitError('invalid-plan', `group ${i + 1} is ${shown(group)}; a group has ${GROUP_KEYS.join(', ')}`);
    }
    const { name, match, optimizer, hyperparameters = {}, schedules = {} } = group;
    const label = name ?? `group${i + 1}`;
    const unknown = Object.keys(group).filter((key) => !GROUP_KEYS.includes(key));
    if (unknown.length > 0) {
      throw new AdakitError(
        'invalid-plan',
        `the group "${label}" has ${unknown.map((key) => `"${key}"`).join(', ')}, which means nothing; ` +
          `a group has ${GROUP_KEYS.join(', ')}. What goes around a rule goes into its optimizer: ` +
          'optimizer: freezeRows([0], adam())',
      );
    }
    for (const [key, value] of Object.entries<unknown>({ hyperparameters, schedules })) {
      if (Object(value) === value) continue;
      throw new AdakitError('invalid-plan', `${key} of the group "${label}" must be an object, got ${shown(value)}`);
    }
    requireMatch(`the match of the group "${label}"`, match);
    return {
      name: label,
      match,
      ...(optimizer !== undefined && { optimizer: requireOptimizer(`the group "${label}"`, optimizer).node }),
      hyperparameters,
      schedules,
    };
  });
  return new Optimizer(new GroupsNode(nodes, requireOptimizer('groups()', rest).node));
}

const GROUP_KEYS = ['name', 'match', 'optimizer', 'hyperparameters', 'schedules'];
