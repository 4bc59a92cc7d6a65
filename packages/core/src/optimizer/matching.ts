import { AdakitError, shown } from '../errors.js';
import { nearestNames } from '../nearest-names.js';
import type { MatchData, ParameterMatch, ParameterRole, ParameterSpec } from './match.js';

/** Whether `match` chooses the parameter; a regular expression's own state plays no part. */
export function matches(match: ParameterMatch, parameter: ParameterSpec): boolean {
  if (typeof match === 'function') return match(parameter);
  if (typeof match === 'string') return match === parameter.name;
  if (match instanceof RegExp) return parameter.name.search(match) >= 0;
  const { name, rank, shape, role } = match;
  const { length } = parameter.shape;
  const inRank =
    typeof rank === 'number' ? length === rank : length >= (rank?.atLeast ?? 0) && length <= (rank?.atMost ?? Infinity);
  const roles: readonly unknown[] = Array.isArray(role) ? role : [role];
  return (
    (name === undefined || matches(name, parameter)) &&
    inRank &&
    (shape === undefined || (shape.length === length && shape.every((size, i) => size === parameter.shape[i]))) &&
    (role === undefined || roles.includes(parameter.role))
  );
}

/**
 * What a configuration saves of a match: text as it is, a pattern as its source, a predicate as the names it has
 * `chosen`. {@link matchFromData} reads it.
 */
export function matchData(match: ParameterMatch, chosen: readonly string[]): MatchData {
  if (typeof match === 'string') return match;
  if (match instanceof RegExp) return { pattern: match.source, flags: match.flags };
  if (typeof match === 'function') return { names: chosen };
  const { name, ...rest } = match;
  if (name === undefined) return { conditions: rest };
  return {
    conditions: { ...rest, name: typeof name === 'string' ? name : { pattern: name.source, flags: name.flags } },
  };
}

/** A match from its data. @throws TypeError or SyntaxError for data of none */
export function matchFromData(data: MatchData): ParameterMatch {
  if (typeof data === 'string') return data;
  if ('pattern' in data) return new RegExp(data.pattern, data.flags);
  if ('names' in data) {
    const names = new Set(data.names);
    return ({ name }) => names.has(name);
  }
  const { name, ...rest } = data.conditions;
  if (name === undefined) return rest;
  return { ...rest, name: typeof name === 'string' ? name : new RegExp(name.pattern, name.flags) };
}

export function matchText(match: ParameterMatch): string {
  if (typeof match === 'string') return JSON.stringify(match);
  if (match instanceof RegExp) return String(match);
  if (typeof match === 'function') return 'a function';
  return JSON.stringify(match, (_, value: unknown) => (value instanceof RegExp ? String(value) : value));
}

/** What a parameter can be to its layer. */
export const ROLES: readonly ParameterRole[] = ['weight', 'bias', 'norm', 'embedding'];

const isRank = (value: unknown): boolean => Number.isSafeInteger(value);

/** What conditions there are, and whether something can be one: what is neither chooses all, or nothing. */
const CONDITIONS: ReadonlyMap<string, (value: unknown) => boolean> = /* @__PURE__ */ new Map([
  ['name', (value) => value === undefined || typeof value === 'string' || value instanceof RegExp],
  ['rank', (value) => value === undefined || isRank(value) || areBounds(value)],
  ['shape', (value) => value === undefined || (Array.isArray(value) && value.every(isRank))],
  ['role', (value) => value === undefined || [value].flat().every((role) => ROLES.some((known) => known === role))],
]);

function areBounds(value: unknown): boolean {
  const bounds = Object.entries(Object(value) as object);
  return (
    Object(value) === value && bounds.every(([key, bound]) => ['atLeast', 'atMost'].includes(key) && isRank(bound))
  );
}

/** @throws AdakitError `invalid-plan` for what is no match, and for conditions that there are not */
export function requireMatch(what: string, match: unknown): void {
  if (typeof match === 'string' || typeof match === 'function' || match instanceof RegExp) return;
  const isObject = Object(match) === match && !Array.isArray(match);
  const wrong = isObject
    ? Object.entries(match as object).find(([key, value]) => !CONDITIONS.get(key)?.(value as unknown))
    : undefined;
  if (isObject && wrong === undefined) return;
  const given = wrong === undefined ? shown(match) : `the condition ${wrong[0]}: ${shown(wrong[1])}`;
  throw new AdakitError(
    'invalid-plan',
    `${what} must be a name, a pattern, a function or conditions (${[...CONDITIONS.keys()].join(', ')}), got ${given}`,
  );
}

/** @throws AdakitError `unknown-parameter` for a match that chooses nothing, with the nearest names */
export function requireMatches(
  what: string,
  match: ParameterMatch,
  parameters: readonly ParameterSpec[],
): readonly ParameterSpec[] {
  const chosen = parameters.filter((parameter) => matches(match, parameter));
  if (chosen.length > 0 || parameters.length === 0) return chosen;
  const names = parameters.map(({ name }) => name);
  const wanted = typeof match === 'string' ? match : match instanceof RegExp ? match.source : '';
  const shown = wanted === '' ? names.slice(0, 5) : nearestNames(wanted, names);
  throw new AdakitError(
    'unknown-parameter',
    `${what} ${matchText(match)} matches none of the ${names.length} parameters; ` +
      `${wanted === '' ? 'they are' : 'the nearest are'} ${shown.map((name) => `"${name}"`).join(', ')}`,
  );
}
