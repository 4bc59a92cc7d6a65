import { kinds } from '@adakit/core';
import { nearestNames } from '@adakit/core/states';
import { didYouMean, OnnxError } from '../error.js';

/**
 * Parameters by exact names, by a regular expression searched in names, by a function of the name, or by a list of
 * these: `['fc.weight', /^layer4\./]`.
 */
export type ParameterFilter = string | RegExp | ((name: string) => boolean) | readonly ParameterFilter[];

/** A {@link ParameterFilter} in options. */
export const FILTER = kinds.kind('a name, an expression, a function of names or a list of these', isFilter);

/** Whether something is a {@link ParameterFilter}. */
export function isFilter(value: unknown): value is ParameterFilter {
  if (Array.isArray(value)) return value.every(isFilter);
  return typeof value === 'string' || typeof value === 'function' || value instanceof RegExp;
}

/** Whether a filter names `name`. */
export function matches(filter: ParameterFilter, name: string): boolean {
  if (typeof filter === 'function') return filter(name);
  if (typeof filter === 'string') return filter === name;
  return filter instanceof RegExp ? name.search(filter) >= 0 : filter.some((each) => matches(each, name));
}

/**
 * Refuses exact names that do not exist, and expressions and functions that choose nothing.
 *
 * @throws {OnnxError} `unknown-parameter`, with the nearest names there are
 */
export function requireKnown(option: string, filter: ParameterFilter, names: readonly string[]): void {
  const parts = partsOf(filter);
  const unknown = parts.filter((part) => typeof part === 'string' && !names.includes(part));
  if (unknown.length > 0) {
    const described = unknown.map((name) => `'${String(name)}'${didYouMean(String(name), names)}`);
    throw new OnnxError(
      'unknown-parameter',
      `${option}: the model has no float initializer ${described.join(', ')}; it has ${listNames(names)}`,
    );
  }
  const empty = parts.find((part) => !names.some((name) => matches(part, name)));
  if (empty === undefined) return;
  const known =
    empty instanceof RegExp
      ? `the nearest are ${listNames(nearestNames(empty.source.replace(/[\\^$()]/g, ''), names))}`
      : `they are ${listNames(names)}`;
  throw new OnnxError(
    'unknown-parameter',
    `${option}: ${empty instanceof RegExp ? String(empty) : 'the function'} matches none of the ${names.length} float ` +
      `initializers; ${known}`,
  );
}

/** The first names of a list, for messages. */
export function listNames(names: readonly string[], most = 20): string {
  const listed = names.slice(0, most).map((name) => `'${name}'`);
  return [...listed, ...(names.length > most ? [`${names.length - most} more`] : [])].join(', ');
}

/** The names, expressions and functions that a filter is made of. */
function partsOf(filter: ParameterFilter): readonly (string | RegExp | ((name: string) => boolean))[] {
  return typeof filter === 'object' && !(filter instanceof RegExp) ? filter.flatMap(partsOf) : [filter];
}
