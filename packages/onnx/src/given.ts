import { kindOf, kinds, optionsProblem, type OptionKind } from '@adakit/core';
import { OnnxError } from './error.js';

// What is given by programs whose types nobody has checked.

/** @throws {OnnxError} `invalid-argument` for what has not been read, e.g. a path or bytes in the place of a model */
export function requireModel(what: string, model: unknown): void {
  const { graph, proto } = Object(model) as Readonly<Record<string, unknown>>;
  if (Object(graph) === graph && Object(proto) === proto) return;
  const unread = typeof model === 'string' || model instanceof Uint8Array ? '; read it first' : '';
  fail(`${what} takes a model, as readModel() gives it, got ${kindOf(model)}${unread}`);
}

/** @throws {OnnxError} `invalid-argument` for what is no object, options that there are not, and such of another kind */
export function requireOptions(what: string, options: unknown, known: Readonly<Record<string, OptionKind>>): void {
  const problem = optionsProblem(options, known);
  if (problem !== undefined) fail(`${what}: ${problem}`);
}

/** @throws {OnnxError} `invalid-argument` for what is no object, whatever is read of it */
export function requireObject(what: string, value: unknown): void {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    fail(`${what} must be an object, got ${kindOf(value)}`);
}

/** @throws {OnnxError} `invalid-argument` for what is no list of names */
export function requireNames(what: string, names: unknown): void {
  const wrong: readonly unknown[] = Array.isArray(names) ? names.filter((name) => typeof name !== 'string') : [names];
  if (wrong.length > 0) fail(`${what} must be a list of names, got ${kindOf(wrong[0])}`);
}

/** @throws {OnnxError} `invalid-argument` for what is no list of objects, each with a name */
export function requireNamed(what: string, list: unknown): void {
  const isNamed = (each: unknown): boolean => typeof (Object(each) as { readonly name?: unknown }).name === 'string';
  const wrong: readonly unknown[] = Array.isArray(list) ? list.filter((each) => !isNamed(each)) : [list];
  if (wrong.length > 0) fail(`${what} must be a list of { name, … }, got ${kindOf(wrong[0])}`);
}

/** @throws {OnnxError} `invalid-argument` for what is no loss, e.g. `crossEntropy` in the place of `crossEntropy()` */
export function requireLoss(given: unknown): void {
  if (typeof (Object(given) as { readonly attach?: unknown }).attach === 'function') return;
  const what = typeof given === 'function' ? `the function ${given.name}; call it: ${given.name}()` : kindOf(given);
  fail(`a loss is needed, such as crossEntropy(), not ${what}`);
}

/** Stages of a plan in options. */
export const STAGES = kinds.kind(
  'a list of stages of the plan, such as plan.batchStages',
  (value) => Array.isArray(value) && value.every(isStage),
);

function isStage(value: unknown): boolean {
  const { kind, calls, program } = Object(value) as Readonly<Record<string, unknown>>;
  return kind === 'total' ? Object(program) === program : kind === 'parameters' && Array.isArray(calls);
}

/** @throws {OnnxError} `invalid-argument` for what is no plan, e.g. an optimizer in its place */
export function requirePlan(what: string, plan: unknown): void {
  const { parameters, stages } = Object(plan) as Readonly<Record<string, unknown>>;
  if (Array.isArray(parameters) && Array.isArray(stages)) return;
  fail(`${what} takes a plan, as makePlan(optimizer, parameters) makes it, got ${kindOf(plan)}`);
}

function fail(problem: string): never {
  throw new OnnxError('invalid-argument', problem);
}
