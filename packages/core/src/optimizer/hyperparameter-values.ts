import { AdakitError, keysProblem, shown } from '../errors.js';
import type { Hyperparameter, HyperparameterDefinitions, HyperparameterValues, Range } from './hyperparameters.js';

/** Whose hyperparameters are parsed. */
interface Parsed {
  readonly component: { readonly name: string; readonly hyperparameters: HyperparameterDefinitions };
  /** What it was made with, of which some must stay; nothing while it is being made. */
  readonly initial: HyperparameterValues;
}

/**
 * Completes and validates hyperparameters.
 *
 * @throws AdakitError naming every offending hyperparameter, e.g. `adam: lr must be > 0, got -1`
 */
export function parseHyperparameters(
  { component: { name: optimizer, hyperparameters: definitions }, initial }: Parsed,
  given: Readonly<Record<string, unknown>>,
  when: 'atConstruction' | 'perStep',
  before?: HyperparameterValues,
): HyperparameterValues {
  const problem = keysProblem('hyperparameter', given, Object.keys(definitions));
  if (problem !== undefined) throw new AdakitError('unknown-hyperparameter', `${optimizer}: ${problem}`);
  const values: Record<string, number | boolean | string> = {};
  const complaints: string[] = [];
  for (const [name, definition] of Object.entries(definitions)) {
    const own = Object.hasOwn(given, name) ? given[name] : before?.[name];
    const value = own === undefined && !before ? definition.default : own;
    const problem = problemOf(definition, value, when, initial[name]);
    if (problem === undefined) values[name] = value as number | boolean | string;
    else complaints.push(`${name} ${problem}`);
  }
  if (complaints.length === 0) return Object.freeze(values);
  throw new AdakitError('invalid-hyperparameter', `${optimizer}: ${complaints.join('; ')}`);
}

/** What is wrong with a value, or `undefined`. */
export function problemOf(
  definition: Hyperparameter,
  value: unknown,
  when: 'atConstruction' | 'perStep',
  initial = value,
): string | undefined {
  switch (definition.type) {
    case 'number':
      return rangeProblem(definition[when], value);
    case 'flag':
      return typeof value === 'boolean' ? undefined : `must be true or false, got ${shown(value)}`;
    default:
      return definition.problem(value, initial);
  }
}

/** What is wrong with a number, or `undefined`. */
export function rangeProblem(
  { above = -Infinity, atLeast = -Infinity, below = Infinity, atMost = Infinity, integer, because }: Range,
  value: unknown,
): string | undefined {
  if (value === undefined) return 'is required';
  if (typeof value !== 'number' || !Number.isFinite(value)) return `must be a finite number, got ${shown(value)}`;
  const isOfKind = !integer || Number.isSafeInteger(value);
  if (isOfKind && value > above && value >= atLeast && value < below && value <= atMost) return undefined;
  const bounds = Object.entries({ '>': above, '>=': atLeast, '<': below, '<=': atMost })
    .filter(([, bound]) => Number.isFinite(bound))
    .map(([sign, bound]) => `${sign} ${bound}`);
  const wanted = [...(integer ? ['a whole number'] : []), ...bounds].join(' and ');
  return `must be ${wanted}, got ${value}${because ? ` (${because})` : ''}`;
}
