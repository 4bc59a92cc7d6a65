import { closestName } from '@adakit/core';
import { UsageError } from '../usage-error.js';

/** A word with settings, as options take them: `cosine:floor=0.1`. */
export interface Word {
  readonly name: string;
  readonly settings: Readonly<Record<string, number | boolean | string>>;
}

/** @throws UsageError for settings that are not `name=value` */
export function parseWord(option: string, text: string): Word {
  const colon = text.indexOf(':');
  if (colon < 0) return { name: text, settings: {} };
  const parts = text.slice(colon + 1).split(',');
  return { name: text.slice(0, colon), settings: Object.fromEntries(parts.map((part) => parseSetting(option, part))) };
}

/** `name=value`; what looks like a number, true or false is one. @throws UsageError */
export function parseSetting(option: string, text: string): [string, number | boolean | string] {
  const at = text.indexOf('=');
  if (at < 1 || at === text.length - 1) throw new UsageError(`${option}: '${text}' is not of the form name=value`);
  const value = text.slice(at + 1);
  const number = Number(value);
  return [
    text.slice(0, at),
    value === 'true' ? true : value === 'false' ? false : Number.isNaN(number) ? value : number,
  ];
}

/** The entry of a table by name. @throws UsageError with what is known */
export function known<T>(option: string, name: string, table: Readonly<Record<string, T>>): T {
  if (Object.hasOwn(table, name)) return table[name];
  const names = Object.keys(table);
  const suggestion = closestName(
    name.replaceAll('-', ''),
    names.map((each) => each.replaceAll('-', '')),
  );
  const meant = names.find((each) => each.replaceAll('-', '') === suggestion);
  throw new UsageError(
    `${option}: there is no '${name}'${meant === undefined ? '' : `, did you mean '${meant}'?`} (known: ${names.join(', ')})`,
  );
}

/** Numbers by name, checked. @throws UsageError for unknown names and for what is no number */
export function numbers<N extends string>(
  option: string,
  { name, settings }: Word,
  defaults: Readonly<Record<N, number | undefined>>,
): Record<N, number> {
  for (const setting of Object.keys(settings)) known(`${option} ${name}`, setting, defaults);
  const result: Record<string, number | boolean | string | undefined> = { ...defaults, ...settings };
  for (const [setting, value] of Object.entries(result)) {
    if (typeof value !== 'number') {
      const given = value === undefined ? 'is missing' : `must be a number, got '${String(value)}'`;
      throw new UsageError(`${option} ${name}: ${setting} ${given}; write ${option} ${name}:${setting}=NUMBER`);
    }
  }
  return result as Record<N, number>;
}
