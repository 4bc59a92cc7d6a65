import fc from 'fast-check';
import { expect } from 'vitest';

/**
 * Properties are tried on the same random cases in every run, so that a run judges what was changed and not its luck.
 * `ADAKIT_SEED=random` (`npm run soak:properties`) draws others; a number draws those of that seed again.
 */
const { ADAKIT_SEED = '1' } = process.env;
if (ADAKIT_SEED !== 'random') fc.configureGlobal({ seed: Number(ADAKIT_SEED) });

/**
 * Arrays of numbers that are equal are found to be so at once, by what `toEqual` means of each element, which takes it hundreds
 * of times as long: seconds for a hundred thousand. What differs, and says where, is left to it.
 */
function equalNumbers(a: unknown, b: unknown): true | undefined {
  const areEqual =
    areNumbers(a) &&
    areNumbers(b) &&
    a.constructor === b.constructor &&
    a.length === b.length &&
    a.every((element, i) => Object.is(element, b[i]));
  return areEqual || undefined;
}

function areNumbers(value: unknown): value is Float32Array {
  return ArrayBuffer.isView(value) && !(value instanceof DataView);
}

// Files share a worker, in which a matcher stays.
const added = Symbol.for('adakit.equalNumbers');
if (!Object.hasOwn(globalThis, added)) {
  Object.defineProperty(globalThis, added, { value: true });
  expect.addEqualityTesters([equalNumbers]);
}
