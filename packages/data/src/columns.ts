import { kindOf, kinds, type OptionKind } from '@adakit/core';
import { fieldOf, isTensor, type Example, type Value } from './dataset/example.js';
import { DataError } from './error.js';

/** Where a field of an example comes from: a column; several, put together to one tensor [n]; or a column of class names. */
export type ColumnChoice =
  string | readonly string[] | { readonly from: string; readonly classes: readonly (string | number)[] };

/**
 * For `map`: examples of the columns of a table. `columns({ x: ['width', 'height'], labels: { from: 'kind', classes: ['a',
 * 'b'] } })` gives x float32 [2] and labels int64.
 *
 * @throws DataError, when applied, `unknown-column`, and `invalid-data` for text where a number is needed and for classes
 * that were not named
 */
export function columns(choices: Readonly<Record<string, ColumnChoice>>): (row: Example) => Example {
  const problem = CHOICES(choices);
  if (problem !== undefined) throw new DataError('invalid-argument', `columns: choices ${problem}`);
  const entries = Object.entries(choices);
  for (const [name, choice] of entries) {
    const wrong = CHOICE(choice);
    if (wrong !== undefined) throw new DataError('invalid-argument', `columns: '${name}' ${wrong}`);
  }
  return (row) => Object.fromEntries(entries.map(([name, choice]) => [name, chosen(row, choice)]));
}

const CHOICES = kinds.required(kinds.object);
const CHOICE: OptionKind = (choice) =>
  typeof choice === 'string' || (Array.isArray(choice) && kinds.names(choice) === undefined)
    ? undefined
    : NAMED(choice) && `must be a column, a list of columns or { from, classes }, got ${kindOf(choice)}`;
const NAMED = kinds.options({ from: kinds.required(kinds.text), classes: kinds.required(kinds.list) });

function chosen(row: Example, choice: ColumnChoice): Value {
  if (typeof choice === 'string') return fieldOf(row, choice);
  if ('from' in choice) {
    const field = fieldOf(row, choice.from);
    const value = isTensor(field) ? 'a tensor' : String(field);
    const index = choice.classes.findIndex((name) => String(name) === value);
    if (index >= 0) return BigInt(index);
    throw new DataError(
      'invalid-data',
      `column '${choice.from}' holds ${JSON.stringify(value)}, which is none of the classes (${choice.classes.join(', ')})`,
    );
  }
  return { data: Float32Array.from(choice, (column) => numberOf(column, fieldOf(row, column))), dims: [choice.length] };
}

function numberOf(column: string, value: Value): number {
  if (!isTensor(value) && typeof value !== 'string') return Number(value);
  const given = isTensor(value) ? 'a tensor' : value === '' ? 'nothing' : JSON.stringify(value);
  throw new DataError(
    'invalid-data',
    `column '${column}' holds ${given} where a number is needed; filter such rows out or leave the column out`,
  );
}
