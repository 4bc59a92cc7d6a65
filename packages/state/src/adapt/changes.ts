import type { HyperparameterValues, OptimizerConfig, SchedulesData } from '@adakit/core';
import type { AdaptReport, ChangedHyperparameter, GroupConfigs } from './adapt-report.js';
import { mainPieces, optimizerText } from './saved-pieces.js';

/** What has become of the optimizer. */
export function optimizerChanges(
  before: OptimizerConfig,
  after: OptimizerConfig,
): Pick<AdaptReport, 'optimizer' | 'hyperparameters' | 'groups' | 'schedules'> {
  const groups = change(groupsOf(before), groupsOf(after));
  const schedules = change(schedulesOf(before), schedulesOf(after));
  return {
    optimizer: { from: optimizerText(before), to: optimizerText(after) },
    hyperparameters: changes(valuesOf(before), valuesOf(after)),
    ...(groups && { groups }),
    ...(schedules && { schedules }),
  };
}

/** Hyperparameters of the main optimizer; a wrapper's are named with it. */
function valuesOf(config: OptimizerConfig): HyperparameterValues {
  return Object.fromEntries(
    mainPieces(config)
      .toReversed()
      .flatMap(({ kind, name, hyperparameters }) =>
        Object.entries(hyperparameters).map(
          ([key, value]) => [kind === 'rule' ? key : `${name}.${key}`, value] as const,
        ),
      ),
  );
}

function schedulesOf(config: OptimizerConfig): SchedulesData {
  return mainPieces(config).at(-1)?.schedules ?? {};
}

/** All groups of the main optimizer, from the outermost. */
function groupsOf(config: OptimizerConfig): GroupConfigs {
  if (config.kind === 'groups') return [...config.groups, ...groupsOf(config.rest)];
  return config.inner === undefined ? [] : groupsOf(config.inner);
}

function changes(before: HyperparameterValues, after: HyperparameterValues): ChangedHyperparameter[] {
  return [...new Set([...Object.keys(before), ...Object.keys(after)])]
    .filter((name) => before[name] !== after[name])
    .map((name) => ({
      name,
      ...(Object.hasOwn(before, name) && { from: before[name] }),
      ...(Object.hasOwn(after, name) && { to: after[name] }),
    }));
}

/** What was before and what is now, if they are not the same. */
function change<T>(from: T, to: T): { readonly from: T; readonly to: T } | undefined {
  return JSON.stringify(from) === JSON.stringify(to) ? undefined : { from, to };
}
