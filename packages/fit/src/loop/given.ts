import { kindOf } from '@adakit/core';
import { FitError } from '../error.js';

// What is given by programs whose types nobody has checked.

/** @throws FitError for what has no method of that name, e.g. a path in the place of a session */
export function requireModel(what: string, model: unknown, method: string): void {
  if (typeof (Object(model) as Readonly<Record<string, unknown>>)[method] === 'function') return;
  throw new FitError(
    'invalid-argument',
    `${what} takes what is trained first, such as a TrainingSession, with a method ${method}(batch); got ${kindOf(model)}`,
  );
}

/** @throws FitError for what is no dataset, e.g. a list of batches */
export function requireDataset(what: string, data: unknown): void {
  const { reader, read } = Object(data) as Readonly<Record<string, unknown>>;
  if (typeof reader === 'function' && typeof read === 'function') return;
  throw new FitError(
    'invalid-argument',
    `${what} takes a Dataset of batches, such as fromElements(batches) or fromArrays({ … }).batch(32); got ${kindOf(data)}`,
  );
}
