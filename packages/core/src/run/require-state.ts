import { AdakitError, shown } from '../errors.js';
import type { MatchData } from '../optimizer/match.js';
import { matchFromData } from '../optimizer/matching.js';
import type { TrainingState } from './training-state.js';

type Fields = Readonly<Record<string, unknown>>;

/**
 * Refuses what is no training state, e.g. a checkpoint in the place of its `state`, and one that lacks what every state has: made by
 * hand, or read from JSON.
 *
 * @throws AdakitError `invalid-state`
 */
export function requireState(state: unknown): asserts state is TrainingState {
  const { optimizer, parameters, statistics = {}, globals = {} } = Object(state) as Fields;
  if (!optimizer || !parameters) {
    const keys = Object.keys(Object(state) as object).join(', ');
    throw new AdakitError(
      'invalid-state',
      `a training state has optimizer and parameters; this has ${keys || 'nothing'}`,
    );
  }
  requireOptimizerConfig('optimizer', optimizer);
  for (const [name, parameter] of Object.entries(fieldsOf('parameters', parameters))) {
    const { value, slots, meanings = {} } = Object(parameter) as Fields;
    const tensors = [value, ...Object.values(Object(slots) === slots ? (slots as Fields) : [slots])];
    if (!tensors.every((tensor) => isTensor(tensor, ['data']))) {
      throw malformed(`value or slots of "${name}" are no tensors; take it from state() or readState()`);
    }
    for (const meaning of Object.values(fieldsOf(`meanings of "${name}"`, meanings))) fieldsOf('a meaning', meaning);
  }
  fieldsOf('globals', globals);
  for (const [name, statistic] of Object.entries(fieldsOf('statistics', statistics))) {
    if (!isTensor(statistic, ['data', 'bytes'])) throw malformed(`its statistic "${name}" is no tensor`);
  }
}

/** @param elements where its elements may be */
function isTensor(value: unknown, elements: readonly string[]): boolean {
  const fields = Object(value) as Fields;
  return Array.isArray(fields.shape) && elements.some((key) => ArrayBuffer.isView(fields[key]));
}

/** @throws AdakitError `invalid-state` for pieces without their settings, and groups without their match */
function requireOptimizerConfig(what: string, config: unknown): void {
  const { kind, name, inner, groups, rest, ...settings } = fieldsOf(what, config);
  if (kind !== 'groups') {
    for (const key of ['hyperparameters', 'initial', 'schedules']) fieldsOf(`${key} of ${shown(name)}`, settings[key]);
    if (inner !== undefined) requireOptimizerConfig(`inner of ${shown(name)}`, inner);
    return;
  }
  if (!Array.isArray(groups)) throw malformed(`groups is ${shown(groups)}`);
  for (const group of groups as readonly unknown[]) {
    const { name, match, optimizer, hyperparameters, schedules } = fieldsOf('a group', group);
    for (const [key, value] of Object.entries({ hyperparameters, schedules }))
      fieldsOf(`${key} of ${shown(name)}`, value);
    if (optimizer !== undefined) requireOptimizerConfig(`optimizer of ${shown(name)}`, optimizer);
    requireMatchData(`match of ${shown(name)}`, match);
  }
  requireOptimizerConfig('rest of groups', rest);
}

function requireMatchData(what: string, match: unknown): void {
  try {
    matchFromData(match as MatchData);
  } catch {
    throw malformed(`${what} is ${JSON.stringify(match)}`);
  }
}

function fieldsOf(what: string, value: unknown): Fields {
  if (Object(value) === value) return value as Fields;
  throw malformed(`${what} is ${shown(value)}`);
}

function malformed(problem: string): AdakitError {
  return new AdakitError('invalid-state', `the state is malformed: ${problem}`);
}
