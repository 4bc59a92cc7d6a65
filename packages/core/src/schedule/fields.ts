import { shown } from '../errors.js';
import { scheduleProblems } from './made-schedule.js';
import type { FieldCheck } from './schedule.js';

const field =
  (wanted: string, holds: (value: unknown) => boolean): FieldCheck =>
  (value, path) =>
    holds(value) ? [] : [`${path} must be ${wanted}, got ${shown(value)}`];
const isWhole = (x: unknown): boolean => Number.isSafeInteger(x) && Number(x) >= 0;
export const count = /* @__PURE__ */ field('a whole number >= 1', (x) => isWhole(x) && x !== 0);
export const whole = /* @__PURE__ */ field('a whole number >= 0', isWhole);
export const nonNegative = /* @__PURE__ */ field('a number >= 0', (x) => Number.isFinite(x) && Number(x) >= 0);
export const positive = /* @__PURE__ */ field('a number > 0', (x) => Number.isFinite(x) && Number(x) > 0);
export const fraction = /* @__PURE__ */ field('a number in [0, 1]', (x) => typeof x === 'number' && x >= 0 && x <= 1);
export const boolean = /* @__PURE__ */ field('true or false', (x) => typeof x === 'boolean');
export const oneOf = (...words: readonly string[]): FieldCheck =>
  field(words.map((word) => JSON.stringify(word)).join(' or '), (x) => words.includes(x as string));
export const listOf =
  (check: FieldCheck): FieldCheck =>
  (value, path) =>
    Array.isArray(value)
      ? value.flatMap((item, i) => check(item, `${path}.${i}`))
      : [`${path} must be a list, got ${shown(value)}`];
export const nested: FieldCheck = (value, path) => scheduleProblems(value, `${path}.`);
/** What may be left out, as in files of versions that had no such field. */
export const optional =
  (check: FieldCheck): FieldCheck =>
  (value, path) =>
    value === undefined ? [] : check(value, path);
