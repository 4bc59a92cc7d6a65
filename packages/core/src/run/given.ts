import { AdakitError, keysProblem, kindOf, shown, type ErrorCode } from '../errors.js';
import * as kinds from '../kinds.js';
import { ROLES } from '../optimizer/matching.js';
import type { ParameterSpec } from '../optimizer/match.js';
import { optionsProblem, type OptionKind } from '../options.js';
import { elementCount, isTensor, noTensor, type TensorData } from '../tensor/tensor-data.js';
import { isCount } from './check-slots.js';
import type { RunOptions, StepOptions } from './step-types.js';
import type { OverallState } from './training-state.js';

// What a run is given by programs whose types nobody has checked. Runners that check it themselves do without.

const VERBS = ['allocate', 'write', 'copy', 'read', 'free', 'nonFinite', 'compile'];
const WORDS = { role: ROLES, units: ['first', 'last'] } as const;
const OPTIONS: Readonly<Record<keyof RunOptions<never>, OptionKind>> = {
  nonFinite: kinds.oneOf('refuse', 'skip', 'scaleBack'),
  reduceGradients: kinds.callable,
  openGroups: kinds.flag,
  resume: kinds.kind('an object with a step, as a training state has', (resume) =>
    isCount((Object(resume) as OverallState).step),
  ),
};

/** @throws AdakitError `invalid-plan` for what cannot make memory, e.g. `jsDevice` in the place of `jsDevice()` */
export function requireDevice(device: unknown): void {
  const methods = Object(device) as Readonly<Record<string, unknown>>;
  if (VERBS.every((verb) => typeof methods[verb] === 'function')) return;
  throw new AdakitError('invalid-plan', `a run needs a device such as jsDevice(), got ${kindOf(device)}`);
}

/** @throws AdakitError `invalid-plan` for an option that a run does not have, and for one of another kind than there is */
export function requireRunOptions(options: object): void {
  const problem = optionsProblem(options, OPTIONS);
  if (problem !== undefined) throw new AdakitError('invalid-plan', `a run: ${problem}`);
}

/**
 * Refuses what is no object, and options that there are not.
 *
 * @param what whose options they are, at the beginning of the message
 * @throws AdakitError `invalid-plan`
 */
export function requireOptions(what: string, options: unknown, known: readonly string[]): void {
  const problem = keysProblem('option', options, known);
  if (problem !== undefined) throw new AdakitError('invalid-plan', `${what}: ${problem}`);
}

/** @throws AdakitError `invalid-state` for a parameter that is no tensor, and neither a buffer nor what writes one, with a shape */
export function requireParameters(parameters: object): void {
  requireGiven('parameters', parameters);
  for (const [name, given] of Object.entries(parameters) as [string, unknown][]) {
    const { buffer, write, value, shape } = Object(given) as Readonly<Record<string, unknown>>;
    const isShaped =
      value === undefined && (buffer !== undefined || typeof write === 'function') && Array.isArray(shape);
    if (!isShaped) requireTensor('invalid-state', `the parameter "${name}"`, value ?? given);
    for (const [key, words] of Object.entries(WORDS)) {
      const word = (given as Readonly<Record<string, unknown>>)[key];
      if (word === undefined || words.some((known) => known === word)) continue;
      throw new AdakitError(
        'invalid-state',
        `${key} of the parameter "${name}" is one of ${words.join(', ')}, got ${shown(word)}`,
      );
    }
  }
}

/** @throws AdakitError `invalid-state` for something in the place of values by name */
export function requireGiven(what: string, values: unknown): void {
  if (Object(values) === values && !Array.isArray(values) && typeof values !== 'function') return;
  throw new AdakitError('invalid-state', `${what} are given by name, as { name: … }, got ${kindOf(values)}`);
}

/**
 * Refuses what is no tensor, and elements that do not fill the shape.
 *
 * @param what it is, at the beginning of the message
 * @throws AdakitError with the `code`
 */
export function requireTensor(code: ErrorCode, what: string, value: unknown): TensorData {
  if (!isTensor(value)) throw noTensor(what, value, code);
  const { shape, data } = value;
  if (data.length !== elementCount(shape)) {
    throw new AdakitError(code, `${what} has shape [${shape.join(', ')}] but ${data.length} elements`);
  }
  return value;
}

/** @throws AdakitError `unknown-parameter` for a name that no parameter has, and for what is no list of names */
export function requireNames(names: unknown, parameters: readonly ParameterSpec[]): void {
  const known = parameters.map(({ name }) => name);
  const strangers = Array.isArray(names) ? names.filter((name) => !known.includes(name as string)) : undefined;
  if (strangers?.length === 0) return;
  throw new AdakitError(
    'unknown-parameter',
    strangers === undefined
      ? `names are a list such as ["${known.at(0) ?? 'weight'}"], got ${kindOf(names)}`
      : `the run has no parameter ${strangers.map(shown).join(', ')}; it has ${known.map(shown).join(', ') || 'none'}`,
  );
}

/** @throws AdakitError `invalid-plan` for what is no number */
export function requireNumber(what: string, value: unknown): void {
  if (typeof value !== 'number') throw new AdakitError('invalid-plan', `${what} must be a number, got ${shown(value)}`);
}

/** @throws AdakitError `invalid-plan` for what cannot be called */
export function requireFunction(what: string, value: unknown): void {
  if (typeof value === 'function') return;
  throw new AdakitError('invalid-plan', `${what} takes a function, got ${kindOf(value)}`);
}

/** @throws AdakitError `invalid-gradient` for a number of samples by which nothing can be weighted */
export function requireStepOptions(options: StepOptions): void {
  requireOptions('a step', options, ['samples']);
  const { samples } = options as { readonly samples?: unknown };
  if (samples === undefined || (Number.isFinite(samples) && Number(samples) > 0)) return;
  throw new AdakitError('invalid-gradient', `samples must be a number above 0, got ${shown(samples)}`);
}
