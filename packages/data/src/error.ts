import { AdakitError, kindOf, kinds, optionsProblem, type OptionKind } from '@adakit/core';

/** What can be wrong with data. */
export type DataErrorCode =
  'invalid-argument' | 'invalid-data' | 'unknown-column' | 'cannot-read' | 'data-mismatch' | 'needs-package';

/** Data that cannot be read, put together, or gone on with; the message says which, why and what to do. */
export class DataError extends AdakitError<DataErrorCode> {
  override readonly name = 'DataError';
}

/** @throws DataError unless `value` can be called */
export function requireFunction(what: string, value: unknown): void {
  if (typeof value === 'function') return;
  throw new DataError('invalid-argument', `${what} must be a function, got ${kindOf(value)}`);
}

/** @throws DataError unless `value` is a list */
export function requireList(what: string, value: unknown): void {
  if (Array.isArray(value)) return;
  throw new DataError('invalid-argument', `${what} must be a list, got ${kindOf(value)}`);
}

/** @throws DataError for what is no object, options that there are not, and such of another kind */
export function requireOptions(what: string, options: unknown, known: Readonly<Record<string, OptionKind>>): void {
  const problem = optionsProblem(options, known);
  if (problem !== undefined) throw new DataError('invalid-argument', `${what}: ${problem}`);
}

/** @throws DataError unless `value` is a Uint8Array */
export function requireBytes(what: string, value: unknown): void {
  if (value instanceof Uint8Array) return;
  throw new DataError('invalid-argument', `${what} is read from a Uint8Array, got ${kindOf(value)}`);
}

/** @throws DataError unless `value` is text */
export function requireText(what: string, value: unknown): void {
  if (typeof value === 'string') return;
  throw new DataError('invalid-argument', `${what} must be text, got ${kindOf(value)}`);
}

/** @throws DataError unless `value` is a dataset */
export function requireDataset(what: string, value: unknown): void {
  const { map, read } = Object(value) as Readonly<Record<string, unknown>>;
  if (typeof map === 'function' && typeof read === 'function') return;
  throw new DataError('invalid-argument', `${what} takes a Dataset, such as fromArrays({ … }), got ${kindOf(value)}`);
}

/** @throws DataError unless `value` is a whole number of at least `least` */
export function requireCount(what: string, value: number, least: number): void {
  if (!Number.isSafeInteger(value) || value < least) {
    throw new DataError('invalid-argument', `${what} must be a whole number of at least ${least}, got ${value}`);
  }
}

/** @throws DataError unless `seed` is a whole number in [0, 2³²) */
export function requireSeed(seed: number): void {
  const problem = kinds.required(kinds.seed)(seed);
  if (problem !== undefined) throw new DataError('invalid-argument', `a seed ${problem}`);
}
