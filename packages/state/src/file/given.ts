import { AdakitError, kindOf, type ErrorCode } from '@adakit/core';
import { StateFileError } from './error.js';

// What is given by programs whose types nobody has checked.

/**
 * @param of what its elements are
 * @throws AdakitError for what is no list of objects, each with these fields
 */
export function requireList(code: ErrorCode, of: string, list: unknown, fields: readonly string[]): void {
  const isWrong = (each: unknown): boolean =>
    fields.some((field) => (Object(each) as Readonly<Record<string, unknown>>)[field] === undefined);
  const wrong: readonly unknown[] = Array.isArray(list) ? list.filter(isWrong) : [list];
  if (wrong.length === 0) return;
  throw new AdakitError(code, `${of} must be a list of { ${fields.join(', ')}, … }, got ${kindOf(wrong[0])}`);
}

/** @throws StateFileError `invalid-entry` for what is no Map of stored tensors by name */
export function requireTensorMap(file: string, tensors: unknown): void {
  if (!(tensors instanceof Map)) {
    throw new StateFileError('invalid-entry', `tensors are given as a Map by name, got ${kindOf(tensors)}`, { file });
  }
  for (const [tensor, stored] of tensors as ReadonlyMap<unknown, unknown>) {
    const { dtype, shape } = Object(stored) as Readonly<Record<string, unknown>>;
    if (typeof tensor === 'string' && typeof dtype === 'string' && Array.isArray(shape)) continue;
    throw new StateFileError('invalid-entry', `it must have dtype and shape, got ${kindOf(stored)}`, {
      file,
      tensor: String(tensor),
    });
  }
}
