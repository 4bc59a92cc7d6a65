import { AdakitError, didYouMean, shown } from '../errors.js';
import type { Hyperparameter, HyperparameterDefinitions, HyperparameterValues, Range } from './hyperparameters.js';

/**
 * Completes and validates hyperparameters.
 *
 * @param initial what the optimizer was made with, of which some must stay. Default: it is being made
 * @throws AdakitError naming every offending hyperparameter, e.g. `adam: lr must be > 0, got -1`
 */
export function parseHyperparameters(
  optimizer: string,
  definitions: HyperparameterDefinitions,
  given: Readonly<Record<string, unknown>>,
  when: 'atConstruction' | 'perStep',
  initial: HyperparameterValues = {},
): HyperparameterValues {
  if (Object(given) !== given) {
    // As in `adam(0.001)`, which would otherwise train with the default.
    throw new AdakitError(
      'invalid-hyperparameter',
      `${optimizer}: hyperparameters are an object such as { lr: 0.1 }, got ${shown(given)}`,
    );
  }
  const known = Object.keys(definitions);
  const unknown = Object.keys(given).filter((key) => !Object.hasOwn(definitions, key));
  if (unknown.length > 0) {
    const complaints = unknown.map((key) => `unknown hyperparameter "${key}"${didYouMean(key, known)}`);
    throw new AdakitError(
      'unknown-hyperparameter',
      `${optimizer}: ${complaints.join('; ')} (known: ${known.join(', ')})`,
    );
  }
  const values: Record<string, number | boolean | string> = {};
  const complaints: string[] = [];
  for (const [name, definition] of Object.entries(definitions)) {
    const own = Object.hasOwn(given, name) ? given[name] : undefined;
    const value = own === undefined ? definition.default : own;
    const problem = problemOf(definition, value, when, initial[name]);
    if (problem === undefined) values[name] = value as number | boolean | string;
    else complaints.push(`${name} ${problem}`);
  }
  if (complaints.length === 0) return values;
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
    case 'repeat':
      return (
        rangeProblem(definition.range, value) ??
        (value === initial ? undefined : definition.changed?.(value as number, initial))
      );
    case 'flag':
      return typeof value === 'boolean' ? undefined : `must be true or false, got ${shown(value)}`;
    case 'choice':
      return definition.words.includes(value as string)
        ? undefined
        : `must be one of ${definition.words.join(', ')}, got ${shown(value)}`;
  }
}

/** What is wrong with a number, or `undefined`. */
function rangeProblem(
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
