import { AdakitError, kindOf, type ErrorCode } from '@adakit/core';
import { optionsProblem, type OptionKind } from '@adakit/core/states';
import { StateFileError } from './error.js';

// What is given by programs whose types nobody has checked.

/**
 * Refuses what is no object, options that there are not, and such of another kind.
 *
 * @param what whose options they are, at the beginning of the message
 * @throws AdakitError `invalid-plan`
 */
export function requireOptions(what: string, options: unknown, known: Readonly<Record<string, OptionKind>>): void {
  const problem = optionsProblem(options, known);
  if (problem !== undefined) throw new AdakitError('invalid-plan', `${what}: ${problem}`);
}

/**
 * @param of what its elements are
 * @param known fields that there are. Default: any
 * @throws AdakitError for what is no list of objects, each with these fields and no others than there are
 */
export function requireList(
  code: ErrorCode,
  of: string,
  list: unknown,
  fields: readonly string[],
  known?: Readonly<Record<string, OptionKind>>,
): void {
  const isWrong = (each: unknown): boolean =>
    fields.some((field) => (Object(each) as Readonly<Record<string, unknown>>)[field] === undefined);
  const wrong: readonly unknown[] = Array.isArray(list) ? list.filter(isWrong) : [list];
  if (wrong.length > 0) {
    throw new AdakitError(code, `${of} must be a list of { ${fields.join(', ')}, … }, got ${kindOf(wrong[0])}`);
  }
  if (known === undefined) return;
  for (const each of list as readonly unknown[]) {
    const problem = optionsProblem(each, known);
    if (problem !== undefined) throw new AdakitError(code, `${of}: ${problem}`);
  }
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
