import type { MaybePromise } from '../device/device.js';
import { AdakitError, didYouMean, keysProblem, kindOf, shown } from '../errors.js';
import type { SeveralEvaluated, SeveralStepsSource } from './several-steps.js';
import type { Evaluated, GradientContext, GradientSource } from './step-types.js';

// Sources are programs whose types nobody has checked: what they give is looked at before anything is made of it.

/** A source that refuses what is no {@link Evaluated}. @throws AdakitError `invalid-gradient` for what is no source */
export function checkedSource<B>(source: GradientSource<B>): GradientSource<B> {
  requireEvaluate(source);
  const { estimate } = source;
  return {
    evaluate: (context) => checked(source.evaluate(context), (given) => requireEvaluated('evaluate()', given, context)),
    ...(estimate && {
      estimate: (context) =>
        checked(estimate.call(source, context), (given) => requireEvaluated('estimate()', given, context)),
    }),
  };
}

/** As {@link checkedSource}, of several steps in one go. */
export function checkedSeveral<B>(source: SeveralStepsSource<B>, count: number): SeveralStepsSource<B> {
  requireEvaluate(source);
  if (!Number.isSafeInteger(count) || count < 1)
    fail(`steps must be a whole number of at least 1, got ${shown(count)}`);
  return { evaluate: (steps) => checked(source.evaluate(steps), (given) => requireSeveral(given, count)) };
}

function requireEvaluate(source: unknown): void {
  const { evaluate } = Object(source) as { readonly evaluate?: unknown };
  if (typeof evaluate !== 'function') {
    fail(`gradients come from an object with a method evaluate(context), got ${kindOf(source)}`);
  }
}

/** Checks what is there, or comes with a promise of any kind. */
function checked<T>(given: MaybePromise<T>, check: (given: T) => T): MaybePromise<T> {
  const { then } = Object(given) as Partial<Promise<T>>;
  return typeof then === 'function' ? Promise.resolve(given).then(check) : check(given as T);
}

function requireEvaluated<B>(source: string, given: Evaluated, { gradients: buffers }: GradientContext<B>): Evaluated {
  requireFields(source, given, ['loss', 'gradients', 'whole', 'accept']);
  const { loss, gradients, whole, accept } = given as { readonly [K in keyof Evaluated]: unknown };
  if (loss !== undefined && typeof loss !== 'number')
    fail(`the loss of ${source} must be a number, got ${kindOf(loss)}`);
  if (gradients !== undefined) {
    requireList(`gradients of ${source} must be a list of names, whose buffers have been written`, gradients);
    for (const name of gradients.map(String)) if (!Object.hasOwn(buffers, name)) throw stranger(source, name, buffers);
  }
  if (whole !== undefined) {
    const { nonFinite, commit } = Object(whole) as { readonly [K in keyof NonNullable<Evaluated['whole']>]: unknown };
    requireList(`whole.nonFinite of ${source} must be a list of names`, nonFinite);
    requireFunction(`whole.commit of ${source}`, commit);
  }
  if (accept !== undefined) requireFunction(`accept of ${source}`, accept);
  return given;
}

function requireSeveral(given: SeveralEvaluated, count: number): SeveralEvaluated {
  const source = 'evaluate() of several steps';
  requireFields(source, given, ['losses', 'nonFinite', 'commit', 'accept']);
  const { losses, nonFinite, commit, accept } = given as { readonly [K in keyof SeveralEvaluated]: unknown };
  requireList(`losses of ${source} must be a list of ${count} numbers`, losses, count);
  requireList(`nonFinite of ${source} must be a list of ${count} lists of names`, nonFinite, count);
  for (const names of nonFinite) requireList(`nonFinite of ${source} must have a list of names for each step`, names);
  requireFunction(`commit of ${source}`, commit);
  if (accept !== undefined) requireFunction(`accept of ${source}`, accept);
  return given;
}

function requireFields(source: string, given: unknown, known: readonly string[]): void {
  const problem = keysProblem('field', given, known);
  if (problem !== undefined) fail(`what ${source} gives is wrong: ${problem}`);
}

function requireList(problem: string, given: unknown, length?: number): asserts given is readonly unknown[] {
  if (!Array.isArray(given)) fail(`${problem}, got ${kindOf(given)}`);
  if (length !== undefined && given.length !== length) fail(`${problem}, got ${given.length}`);
}

function requireFunction(what: string, given: unknown): void {
  if (typeof given !== 'function') fail(`${what} must be a function, got ${kindOf(given)}`);
}

function stranger(source: string, name: string, buffers: object): AdakitError {
  const known = Object.keys(buffers);
  const names = known.map((each) => `"${each}"`).join(', ') || 'no parameters';
  return new AdakitError(
    'unknown-parameter',
    `${source} gives a gradient for "${name}"${didYouMean(name, known) || ','} but the run has ${names}`,
  );
}

function fail(problem: string): never {
  throw new AdakitError('invalid-gradient', problem);
}
