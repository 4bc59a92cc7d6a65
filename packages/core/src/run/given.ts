import { AdakitError, kindOf, shown, type ErrorCode } from '../errors.js';
import { elementCount, type TensorData } from '../tensor/tensor-data.js';
import type { NonFinitePolicy } from './step-types.js';

// What a run is given by programs whose types nobody has checked. Runners that check it themselves do without.

const POLICIES: readonly NonFinitePolicy[] = ['refuse', 'skip', 'scaleBack'];
const OPTIONS = ['nonFinite', 'reduceGradients', 'openGroups', 'resume'];

/** @throws AdakitError `invalid-plan` for an option that a run does not have, and for another policy than there is */
export function requireRunOptions(options: object): void {
  requireGiven('options of a run', options);
  const unknown = Object.keys(options).filter((key) => !OPTIONS.includes(key));
  if (unknown.length > 0) {
    throw new AdakitError('invalid-plan', `a run has no option ${unknown.join(', ')}; there is ${OPTIONS.join(', ')}`);
  }
  const { nonFinite } = options as { readonly nonFinite?: unknown };
  if (nonFinite !== undefined && !POLICIES.some((policy) => policy === nonFinite)) {
    throw new AdakitError('invalid-plan', `nonFinite must be one of ${POLICIES.join(', ')}, got ${shown(nonFinite)}`);
  }
}

/** @throws AdakitError `invalid-state` for a parameter that is no tensor, and neither a buffer nor what writes one, with a shape */
export function requireParameters(parameters: object): void {
  requireGiven('parameters', parameters);
  for (const [name, given] of Object.entries(parameters) as [string, unknown][]) {
    const { buffer, write, value, shape } = Object(given) as Readonly<Record<string, unknown>>;
    const isShaped =
      value === undefined && (buffer !== undefined || typeof write === 'function') && Array.isArray(shape);
    if (!isShaped) requireTensor('invalid-state', `the parameter "${name}"`, value ?? given);
  }
}

/** @throws AdakitError `invalid-state` for something in the place of values by name */
export function requireGiven(what: string, values: unknown): void {
  if (Object(values) === values && !Array.isArray(values) && typeof values !== 'function') return;
  throw new AdakitError('invalid-state', `${what} are given by name, as { name: … }, got ${kindOf(values)}`);
}

/** @throws AdakitError for what is no tensor, and for elements that do not fill the shape */
export function requireTensor(code: ErrorCode, what: string, value: unknown): TensorData {
  if (!isTensor(value)) {
    throw new AdakitError(code, `${what} must be a tensor such as tensor32([1, 2], [2]), got ${kindOf(value)}`);
  }
  const { shape, data } = value;
  if (data.length !== elementCount(shape)) {
    throw new AdakitError(code, `${what} has shape [${shape.join(', ')}] but ${data.length} elements`);
  }
  return value;
}

/** @throws AdakitError `invalid-state` for what JSON has made of tensors, and the like */
export function requireTensorsOf(state: unknown): void {
  const { parameters } = Object(state) as Readonly<Record<string, unknown>>;
  for (const [name, parameter] of Object.entries(Object(parameters) as object)) {
    const { value, slots } = Object(parameter) as Readonly<Record<string, unknown>>;
    if ([value, ...(Object.values(slots ?? [undefined]) as unknown[])].every(isTensor)) continue;
    throw new AdakitError(
      'invalid-state',
      `the state is malformed: value or slots of "${name}" are no tensors; take it from state() or readState()`,
    );
  }
}

/** @throws AdakitError `invalid-gradient` for a number of samples by which nothing can be weighted */
export function requireSamples(samples: unknown): void {
  if (samples === undefined || (Number.isFinite(samples) && Number(samples) > 0)) return;
  throw new AdakitError('invalid-gradient', `samples must be a number above 0, got ${shown(samples)}`);
}

/** Whether something is a tensor, whose elements need not fill its shape. */
function isTensor(value: unknown): value is TensorData {
  const { shape, data } = Object(value) as Readonly<Record<string, unknown>>;
  return Array.isArray(shape) && (data instanceof Float32Array || data instanceof Float64Array);
}
