import { keysProblem } from './errors.js';

/** What an option may be: says what is wrong with a value, as it follows the option's name, or `undefined`. */
export type OptionKind = (value: unknown) => string | undefined;

/**
 * What is wrong with options that somebody has passed, or `undefined`: what is no object, options that there are not, and
 * values of another kind, all of them.
 *
 * @param known what there is, by name
 */
export function optionsProblem(given: unknown, known: Readonly<Record<string, OptionKind>>): string | undefined {
  const names = Object.keys(known);
  const problem = keysProblem('option', given, names);
  if (problem !== undefined) return problem;
  const values = given as Readonly<Record<string, unknown>>;
  const complaints = Object.entries(known).flatMap(([name, kind]) => {
    const complaint = kind(values[name]);
    return complaint === undefined ? [] : [`${name} ${complaint}`];
  });
  return complaints.length > 0 ? complaints.join('; ') : undefined;
}
