import { closestName } from '@adakit/core';
import { OnnxError } from '../error.js';

/**
 * Parameters by exact names, by a regular expression searched in names, by a function of the name, or by a list of
 * these: `['fc.weight', /^layer4\./]`.
 */
export type ParameterFilter = string | RegExp | ((name: string) => boolean) | readonly ParameterFilter[];

/** Whether a filter names `name`. */
export function matches(filter: ParameterFilter, name: string): boolean {
  if (typeof filter === 'function') return filter(name);
  if (typeof filter === 'string') return filter === name;
  return filter instanceof RegExp ? name.search(filter) >= 0 : filter.some((each) => matches(each, name));
}

/**
 * Refuses exact names that do not exist.
 *
 * @throws {OnnxError} `unknown-parameter`, with the closest name there is
 */
export function requireKnown(option: string, filter: ParameterFilter, names: readonly string[]): void {
  const unknown = exactNames(filter).filter((name) => !names.includes(name));
  if (unknown.length === 0) return;
  const described = unknown.map((name) => {
    const suggestion = closestName(name, names);
    return `'${name}'${suggestion === undefined ? '' : ` (did you mean '${suggestion}'?)`}`;
  });
  throw new OnnxError(
    'unknown-parameter',
    `${option}: the model has no float initializer ${described.join(', ')}; it has ${listNames(names)}`,
  );
}

/** The first names of a list, for messages. */
export function listNames(names: readonly string[], most = 20): string {
  const listed = names.slice(0, most).map((name) => `'${name}'`);
  return [...listed, ...(names.length > most ? [`${names.length - most} more`] : [])].join(', ');
}

function exactNames(filter: ParameterFilter): readonly string[] {
  if (typeof filter === 'string') return [filter];
  return typeof filter === 'function' || filter instanceof RegExp ? [] : filter.flatMap(exactNames);
}
